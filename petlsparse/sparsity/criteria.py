"""Pruning criteria of arXiv 2306.12230: which active weights of a layer go at a topology update.

A score is an elementwise function of the active weights and their gradients, both (n,) in the order of their positions:
inactive entries never matter. It may draw from `generator`, and MEST reads its weight `mest_lambda`; the larger the
score, the more important the weight. The released code adds offsets (1e-5, 1) and ranks the whole tensor, to keep
inactive entries below active ones; scoring the active ones alone needs no offset, and equal scores stay comparable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from petlsparse.sparsity.selection import lowest, lowest_of_each_sign, lowest_of_each_sign_rows, lowest_rows


class Score(Protocol):
    """Importance of each active weight, shaped like `weight`."""

    def __call__(
        self, weight: Tensor, gradient: Tensor, *, mest_lambda: float | Tensor, generator: torch.Generator
    ) -> Tensor:
        """Larger is more important."""
        ...


@dataclass(frozen=True)
class Criterion:
    """A score and the rule that selects by it.

    Attributes:
        score: importance of each active weight.
        reads_gradient: the score pairs weights with the gradient taken at them, so the update must come before the
            optimizer step.
        draws: the score draws from the generator. A score that does not is computed for many runs at once, of all
            entries, active or not.
        select: (scores (n,), count) -> which ones go, as a boolean tensor (n,).
        select_rows: the same of every row of a stack: (scores (M, N), counts (M,), candidates (M, N)) -> (M, N).
    """

    score: Score
    reads_gradient: bool
    draws: bool = False
    select: Callable[[Tensor, int], Tensor] = lowest
    select_rows: Callable[[Tensor, Tensor, Tensor], Tensor] = lowest_rows


EPSILON = 1e-8
"""Keeps a zero gradient, or weight, from dividing by zero in the two sensitivity criteria (released code)."""


@partial(Criterion, reads_gradient=False)
def magnitude(weight: Tensor, gradient: Tensor, **_: object) -> Tensor:
    """The smallest weights go."""
    return weight.abs()


@partial(Criterion, reads_gradient=False, select=lowest_of_each_sign, select_rows=lowest_of_each_sign_rows)
def set_intended(weight: Tensor, gradient: Tensor, **_: object) -> Tensor:
    """SET (1707.04780): as many positive as negative weights go, those closest to zero; exactly the drop fraction."""
    return weight


@partial(Criterion, reads_gradient=True)
def mest(weight: Tensor, gradient: Tensor, *, mest_lambda: float | Tensor, **_: object) -> Tensor:
    """MEST (2110.14032): small weights that do not change go."""
    return weight.abs() + mest_lambda * gradient.abs()


@partial(Criterion, reads_gradient=True)
def snip(weight: Tensor, gradient: Tensor, **_: object) -> Tensor:
    """SNIP (1810.02340): weights whose removal changes the loss least, to first order, go."""
    return (weight * gradient).abs()


@partial(Criterion, reads_gradient=True)
def reciprocal_sensitivity(weight: Tensor, gradient: Tensor, **_: object) -> Tensor:
    """Weights that change fastest relative to their size go; without gradient a weight is at its most important."""
    return weight.abs() / (gradient.abs() + EPSILON)


@partial(Criterion, reads_gradient=True)
def sensitivity(weight: Tensor, gradient: Tensor, **_: object) -> Tensor:
    """Weights that change slowest relative to their size go."""
    return gradient.abs() / (weight.abs() + EPSILON)


@partial(Criterion, reads_gradient=False, draws=True)
def random(weight: Tensor, gradient: Tensor, *, generator: torch.Generator, **_: object) -> Tensor:
    """Any weights go, uniformly. Drawn on the generator's device, in float64 so that ties do not occur."""
    draw = torch.rand(weight.shape, generator=generator, dtype=torch.float64, device=generator.device)
    return draw.to(weight.device)
