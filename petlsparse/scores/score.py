"""A score of edges: what is added up over images, and what number of each edge is made of the sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from petlsparse.errors import Problem, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from petlsparse.backbones.stream import ResidualStream
    from petlsparse.scores.frozen_pass import FrozenPass

Measure: TypeAlias = "Callable[[FrozenPass, int], Tensor]"
"""(a pass over some images, a source node) -> what is added up over all images."""


@dataclass(frozen=True)
class Reduced:
    """What is made of the sum of a measure, once for all scores that ask for it."""

    measure: Measure
    function: Callable[[Tensor], Tensor]


class Source(NamedTuple):
    """Whose edges are scored, besides what was summed."""

    node: int
    images: int
    """How many were summed over."""
    stream: ResidualStream
    head: nn.Linear


@dataclass(frozen=True)
class Score:
    """A number for every edge.

    Attributes:
        function: (the sum of each measure over all images, the source, settings as keyword arguments) -> the score of
            the edges from the source to every target, (n,).
        measures: what is summed. What several scores share is computed once.
        settings: keyword arguments of the function; what is not given is left at its default.
    """

    function: Callable[..., Tensor]
    measures: tuple[Measure | Reduced, ...] = ()
    settings: tuple[tuple[str, object], ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """What the function is called with besides its settings, by position."""
        return (*(f"sum {number}" for number in range(1, len(self.measures) + 1)), "source")

    def configured(self, **settings: object) -> Score:
        """The same with other settings."""
        return replace(self, settings=tuple(settings.items()))

    def of(self, sums: Mapping[Measure | Reduced, Tensor], source: Source) -> Tensor:
        """The score of the edges from a source to every target, (n,). Raises ValueError for another shape."""
        found = self.function(*(sums[measure] for measure in self.measures), source, **dict(self.settings))
        if found.shape != (source.stream.nodes,):
            name = getattr(self.function, "__name__", "of one's own")
            raise ValueError(f"score {name} has shape {tuple(found.shape)}, not ({source.stream.nodes},)")
        return found


def as_score(found: Any, **settings: object) -> Score:
    """A score with these settings; of a plain function, a measure (n,), its mean over images.

    Raises UserError for anything else, such as a criterion.
    """
    if isinstance(found, Score):
        return found.configured(**settings)
    if not callable(found):
        raise UserError(Problem(f"is a {type(found).__name__}, not a score", "method.score"))
    return Score(mean, (partial(found, **settings),))


def mean(total: Tensor, source: Source) -> Tensor:
    """Of what was summed, over images."""
    return total / source.images


def gradient_matrices(nodes: FrozenPass, source: int) -> Tensor:
    """Measure: gradients of the adapters from `source` to every target, (n, a, b)."""
    return nodes.once(nodes.adapter)(source)
