"""Pruning criteria of arXiv 2306.12230: which active weights of a layer go at a topology update.

A criterion is a function from the active weights to their importance, (n,): the larger, the more important. Inactive
entries never matter. Its keyword arguments are its settings in a recipe; recipes are read without torch, so that no
module that holds criteria imports it at the top. The released code adds offsets (1e-5, 1) and ranks the
whole tensor, to keep inactive entries below active ones; scoring the active ones alone needs no offset, and equal
scores stay comparable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from petlsparse.errors import Problem, UserError
from petlsparse.settings import NonNegative

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class ActiveWeights(NamedTuple):
    """What a criterion sees of a layer: entries of the active weights, in the order of their indices."""

    weight: Tensor
    """(n,)"""
    gradient: Tensor
    """(n,), of the loss in the iteration of the update."""
    generator: torch.Generator
    """Source of randomness."""


@dataclass(frozen=True)
class Criterion:
    """A score and the rule that selects by it.

    Attributes:
        function: (active weights, settings as keyword arguments) -> importance of each, (n,).
        reads_gradient: the score pairs weights with the gradient taken at them, so the update must come before the
            optimizer step.
        draws: the function draws from the generator. One that does not is elementwise, and computed for many layers at
            once.
        of_each_sign: as many positive as negative scores go, those closest to zero; otherwise the lowest.
        settings: keyword arguments of the function; what is not given is left at its default.
    """

    function: Callable[..., Tensor]
    reads_gradient: bool
    draws: bool = False
    of_each_sign: bool = False
    settings: tuple[tuple[str, object], ...] = ()

    def configured(self, **settings: object) -> Criterion:
        """The same with other settings."""
        return replace(self, settings=tuple(settings.items()))

    def score(self, active: ActiveWeights) -> Tensor:
        """Importance of each active weight, (n,)."""
        return self.function(active, **dict(self.settings))


def as_criterion(found: Criterion | Callable[..., Tensor]) -> Criterion:
    """A criterion as it is; of a plain function one that may read the gradient, and whose lowest scores go.

    Raises UserError for anything else, such as a growth rule.
    """
    if isinstance(found, Criterion):
        return found
    if not callable(found):
        raise UserError(Problem(f"is a {type(found).__name__}, not a criterion", "method.criterion"))
    return Criterion(found, reads_gradient=True)


EPSILON = 1e-8
"""Keeps a zero gradient, or weight, from dividing by zero in the two sensitivity criteria (released code)."""


@partial(Criterion, reads_gradient=False)
def magnitude(active: ActiveWeights) -> Tensor:
    """The smallest weights go."""
    return active.weight.abs()


@partial(Criterion, reads_gradient=False, of_each_sign=True)
def set_intended(active: ActiveWeights) -> Tensor:
    """SET (1707.04780): as many positive as negative weights go, those closest to zero; exactly the drop fraction."""
    return active.weight


@partial(Criterion, reads_gradient=True)
def mest(active: ActiveWeights, *, lambda_: NonNegative = 1.0) -> Tensor:
    """MEST (2110.14032): small weights that do not change go.

    Args:
        active: see `ActiveWeights`.
        lambda_: weight of the gradient.
    """
    return active.weight.abs() + lambda_ * active.gradient.abs()


@partial(Criterion, reads_gradient=True)
def snip(active: ActiveWeights) -> Tensor:
    """SNIP (1810.02340): weights whose removal changes the loss least, to first order, go."""
    return (active.weight * active.gradient).abs()


@partial(Criterion, reads_gradient=True)
def reciprocal_sensitivity(active: ActiveWeights) -> Tensor:
    """Weights that change fastest relative to their size go; without gradient a weight is at its most important."""
    return active.weight.abs() / (active.gradient.abs() + EPSILON)


@partial(Criterion, reads_gradient=True)
def sensitivity(active: ActiveWeights) -> Tensor:
    """Weights that change slowest relative to their size go."""
    return active.gradient.abs() / (active.weight.abs() + EPSILON)


@partial(Criterion, reads_gradient=False, draws=True)
def random(active: ActiveWeights) -> Tensor:
    """Any weights go, uniformly. Drawn on the generator's device, in float64 so that ties do not occur."""
    import torch

    generator = active.generator
    draw = torch.rand(active.weight.shape, generator=generator, dtype=torch.float64, device=generator.device)
    return draw.to(active.weight.device)
