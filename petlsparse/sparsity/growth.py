"""Growth rules: which inactive weights of a layer become active at a topology update.

A rule is a function from all weights of a layer to a score of each, (N,), the largest grown first; the update
passes over those that are active. Those just pruned are candidates like any other. Its keyword arguments are its
settings in a recipe, which is read without torch (see `criteria`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from petlsparse.errors import Problem, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class AllWeights(NamedTuple):
    """What a growth rule sees of a layer."""

    gradient: Tensor
    """(N,), of the loss in the iteration of the update; zeros for a rule that does not read it."""
    generator: torch.Generator
    """Source of randomness."""


@dataclass(frozen=True)
class Growth:
    """Which weights grow.

    Attributes:
        function: (all weights, settings as keyword arguments) -> score of each, (N,), of which the largest grow; None
            for any, uniformly without replacement.
        reads_gradient: it does, so that the gradient must be computed where weights are inactive, too.
        elementwise: what the function gives for one weight depends on that weight's entry alone, and nothing is drawn,
            so that it may be computed for many runs at once.
        settings: keyword arguments of the function; what is not given is left at its default.
        about: what it does, where no function says so.
    """

    function: Callable[..., Tensor] | None
    reads_gradient: bool
    elementwise: bool = False
    settings: tuple[tuple[str, object], ...] = ()
    about: str = ""

    def configured(self, **settings: object) -> Growth:
        """The same with other settings."""
        return replace(self, settings=tuple(settings.items()))

    def score(self, weights: AllWeights) -> Tensor:
        """The score of every weight, (N,): the largest grow. Raises ValueError if the function returns another."""
        assert self.function is not None
        score = self.function(weights, **dict(self.settings))
        if score.shape != weights.gradient.shape:
            found, expected = tuple(score.shape), tuple(weights.gradient.shape)
            raise ValueError(f"a growth rule returned scores of shape {found} for weights of shape {expected}")
        return score

    def trial(self) -> None:
        """Score a few weights as an update would; raises whatever is wrong with that."""
        import torch

        if self.function is not None:
            self.score(AllWeights(torch.linspace(-1, 1, 8), torch.Generator().manual_seed(0)))


def as_growth(found: Growth | Callable[..., Tensor]) -> Growth:
    """A growth rule as it is; of a plain function one that may read the gradient.

    Raises UserError for anything else, such as a criterion.
    """
    if isinstance(found, Growth):
        return found
    if not callable(found):
        raise UserError(Problem(f"is a {type(found).__name__}, not a growth rule", "method.growth"))
    return Growth(found, reads_gradient=True)


random = Growth(
    None,
    reads_gradient=False,
    about="Any weights, uniformly (SET, 1707.04780), in exact number where the code of 2306.12230 flips coins.",
)


@partial(Growth, reads_gradient=True, elementwise=True)
def steepest(weights: AllWeights) -> Tensor:
    """Where the loss would fall fastest (RigL, 1911.11134)."""
    return weights.gradient.abs()
