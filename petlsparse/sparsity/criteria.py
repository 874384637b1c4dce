"""Pruning criteria of arXiv 2306.12230: which active weights of a layer go at a topology update.

A criterion is a function from the active weights to their importance, (n,): the larger, the more important. Inactive
entries never matter. Its keyword arguments are its settings in a recipe; recipes are read without torch, so that no
module that holds criteria imports it at the top. The released code adds offsets (1e-5, 1) and ranks the
whole tensor, to keep inactive entries below active ones; scoring the active ones alone needs no offset, and equal
scores stay comparable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from petlsparse.errors import Problem, UserError
from petlsparse.settings import FractionBelowOne, NonNegative

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
    statistics: Mapping[str, Tensor] = MappingProxyType({})
    """Name -> what the criterion has kept of each weight, (n,)."""


@dataclass(frozen=True)
class Statistic:
    """A number for each active weight that a criterion keeps over the steps of a training, in the weight's type.

    A weight keeps its number through topology updates until it is pruned; one that was grown begins.

    Attributes:
        update: (the statistic so far (n,), active weights, as keyword arguments those settings of the criterion that it
            asks for) -> the new one, (n,). Called at every step: before the optimizer step if the criterion reads the
            gradient, with the weights that it was taken at; else after it, with zero as gradient.
        begin: weights that became active, (n,) -> their statistic; zero unless given.
        restarts: it begins anew for all weights at every topology update.
    """

    update: Callable[..., Tensor]
    begin: Callable[[Tensor], Tensor] | None = None
    restarts: bool = False


@dataclass(frozen=True)
class Criterion:
    """A score and the rule that selects by it.

    Attributes:
        function: (active weights, settings as keyword arguments) -> importance of each, (n,).
        reads_gradient: the score pairs weights with the gradient taken at them, so the update must come before the
            optimizer step.
        elementwise: what the function and its statistics give for one weight depends on that weight's entries alone,
            and nothing is drawn, so that they may be computed for many runs at once. Others are given each run's layer,
            and its generator, by itself.
        of_each_sign: as many positive as negative scores go, those closest to zero; otherwise the lowest.
        settings: keyword arguments of the function; what is not given is left at its default.
        statistics: name -> what is kept of every active weight from step to step, for the function to read.

    Raises:
        ValueError: the update of a statistic takes other arguments, or asks for a setting that the function has not.
    """

    function: Callable[..., Tensor]
    reads_gradient: bool
    elementwise: bool = False
    of_each_sign: bool = False
    settings: tuple[tuple[str, object], ...] = ()
    statistics: Mapping[str, Statistic] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, statistic in self.statistics.items():
            asked, signature = _settings(statistic.update), inspect.signature(statistic.update)
            if unknown := asked.keys() - _settings(self.function).keys():
                raise ValueError(f'statistic "{name}" asks for settings that the criterion has not: {sorted(unknown)}')
            try:
                signature.bind("statistic", "active", **asked)
            except TypeError as error:
                message = f'the update of statistic "{name}" takes {signature}, not (statistic, active, *, ...)'
                raise ValueError(message) from error

    def configured(self, **settings: object) -> Criterion:
        """The same with other settings."""
        return replace(self, settings=tuple(settings.items()))

    def score(self, active: ActiveWeights) -> Tensor:
        """Importance of each active weight, (n,). Raises ValueError for another shape, or NaN of what is finite."""
        score = self.function(active, **dict(self.settings))
        name = getattr(self.function, "__name__", "of one's own")
        if score.shape != active.weight.shape:
            shapes = f"{tuple(score.shape)} for weights of shape {tuple(active.weight.shape)}"
            raise ValueError(f"criterion {name} gives scores of shape {shapes}")
        score = score if score.is_floating_point() else score.double()
        if score.isnan().any() and all(each.isfinite().all() for each in active[:2]):
            raise ValueError(f"criterion {name} gives NaN for {int(score.isnan().sum())} of {len(score)} weights")
        return score

    def trial(self) -> None:
        """Score a few weights as an update would after one step; raises whatever is wrong with that."""
        import torch

        weight = torch.linspace(-1, 1, 8)
        kept = self.initial_statistics(weight)
        active = ActiveWeights(weight, weight.flip(0) ** 2, torch.Generator().manual_seed(0), kept)
        self.score(active._replace(statistics=self.advanced(active)))

    def initial_statistics(self, weight: Tensor) -> dict[str, Tensor]:
        """Every statistic of weights (n,) that became active: new tensors (n,). Raises ValueError for other shapes."""
        found = {name: weight.new_zeros(weight.shape) for name in self.statistics}
        for name, statistic in self.statistics.items():
            if statistic.begin is not None:
                found[name].copy_(_shaped(name, statistic.begin(weight), weight))
        return found

    def advanced(self, active: ActiveWeights) -> dict[str, Tensor]:
        """Every statistic a step later, (n,). Raises ValueError for one that is of another shape."""
        settings = {**_settings(self.function), **dict(self.settings)}
        found = {}
        for name, statistic in self.statistics.items():
            asked = {key: settings[key] for key in _settings(statistic.update)}
            found[name] = _shaped(name, statistic.update(active.statistics[name], active, **asked), active.weight)
        return found


def _shaped(name: str, values: Tensor, weight: Tensor) -> Tensor:
    if values.shape != weight.shape:
        shapes = f"{tuple(values.shape)} for weights of shape {tuple(weight.shape)}"
        raise ValueError(f'statistic "{name}" has shape {shapes}')
    return values


@cache
def _settings(function: Callable[..., object]) -> Mapping[str, Any]:
    """Keyword-only argument of a function -> its default."""
    parameters = inspect.signature(function).parameters
    return {name: each.default for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}


def as_criterion(found: Criterion | Callable[..., Tensor]) -> Criterion:
    """A criterion as it is; of a plain function one that may read gradient and generator, and whose lowest scores go.

    Raises UserError for anything else, such as a growth rule.
    """
    if isinstance(found, Criterion):
        return found
    if not callable(found):
        raise UserError(Problem(f"is a {type(found).__name__}, not a criterion", "method.criterion"))
    return Criterion(found, reads_gradient=True)


EPSILON = 1e-8
"""Keeps a zero gradient, or weight, from dividing by zero in the two sensitivity criteria (released code)."""


@partial(Criterion, reads_gradient=False, elementwise=True)
def magnitude(active: ActiveWeights) -> Tensor:
    """The smallest weights go."""
    return active.weight.abs()


def _average(average: Tensor, active: ActiveWeights, *, decay: float) -> Tensor:
    return decay * average + (1 - decay) * active.weight.abs()


@partial(Criterion, reads_gradient=False, elementwise=True, statistics={"average": Statistic(_average, begin=abs)})
def ema_magnitude(active: ActiveWeights, *, decay: FractionBelowOne = 0.99) -> Tensor:
    """The smallest weights go, by the moving average of their magnitude over the steps since they became active.

    Args:
        active: see `ActiveWeights`.
        decay: of the average at every step (0.99: own choice); with 0 it is the magnitude.
    """
    return active.statistics["average"]


@partial(Criterion, reads_gradient=False, elementwise=True, of_each_sign=True)
def set_intended(active: ActiveWeights) -> Tensor:
    """SET (1707.04780): as many positive as negative weights go, those closest to zero; exactly the drop fraction."""
    return active.weight


@partial(Criterion, reads_gradient=True, elementwise=True)
def mest(active: ActiveWeights, *, lambda_: NonNegative = 1.0) -> Tensor:
    """MEST (2110.14032): small weights that do not change go.

    Args:
        active: see `ActiveWeights`.
        lambda_: weight of the gradient.
    """
    return active.weight.abs() + lambda_ * active.gradient.abs()


@partial(Criterion, reads_gradient=True, elementwise=True)
def snip(active: ActiveWeights) -> Tensor:
    """SNIP (1810.02340): weights whose removal changes the loss least, to first order, go."""
    return (active.weight * active.gradient).abs()


@partial(Criterion, reads_gradient=True, elementwise=True)
def reciprocal_sensitivity(active: ActiveWeights) -> Tensor:
    """Weights that change fastest relative to their size go; without gradient a weight is at its most important."""
    return active.weight.abs() / (active.gradient.abs() + EPSILON)


@partial(Criterion, reads_gradient=True, elementwise=True)
def sensitivity(active: ActiveWeights) -> Tensor:
    """Weights that change slowest relative to their size go."""
    return active.gradient.abs() / (active.weight.abs() + EPSILON)


@partial(Criterion, reads_gradient=False)
def random(active: ActiveWeights) -> Tensor:
    """Any weights go, uniformly. Drawn on the generator's device, in float64 so that ties do not occur."""
    import torch

    generator = active.generator
    draw = torch.rand(active.weight.shape, generator=generator, dtype=torch.float64, device=generator.device)
    return draw.to(active.weight.device)
