"""Growth rules: which inactive weights of a layer become active at a topology update.

A rule scores every weight of a layer, (N,), the largest grow first; the update passes over those that are active.
Those just pruned are candidates like any other.
"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor


class GrowthScore(Protocol):
    """Urgency of growing each weight, shaped like `gradient`: a new tensor, which the update writes into."""

    def __call__(self, gradient: Tensor, *, generator: torch.Generator) -> Tensor:
        """Larger grows first."""
        ...


@dataclass(frozen=True)
class Growth:
    """Which weights grow.

    Attributes:
        score: urgency of growing each weight; None for any, uniformly without replacement.
        reads_gradient: it does, so that the gradient must be computed where weights are inactive, too.
        draws: the score draws from the generator. One that does not is elementwise, and computed for many runs at once.
    """

    score: GrowthScore | None
    reads_gradient: bool
    draws: bool = False


random = Growth(None, reads_gradient=False)
"""Any (SET, 1707.04780), in exact number where the code of 2306.12230 flips coins."""


@partial(Growth, reads_gradient=True)
def steepest(gradient: Tensor, *, generator: torch.Generator) -> Tensor:
    """Where the loss would fall fastest (RigL, 1911.11134)."""
    return gradient.abs()
