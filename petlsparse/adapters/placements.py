"""Where to put adapters: functions from the number of nodes, or from a score of every edge, to edges (2410.15858).

A placement's keyword arguments are its settings in a recipe, which is read without torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator

from petlsparse.adapters import PLACEMENTS
from petlsparse.adapters.edges import Edge, EdgeKind, check_edges, edge_space
from petlsparse.errors import Problem, UserError
from petlsparse.registry import calling, resolve
from petlsparse.settings import Count, FractionBelowOne, Index, Pairs

ScoreMap = Sequence[Sequence[float]]
"""The score of every edge, at least 0: n rows, the sources, of n targets."""


@dataclass(frozen=True)
class Placement:
    """A function that chooses edges.

    Attributes:
        function: (nodes, settings as keyword arguments) -> edges; or (scores, settings ...) if it goes by a score.
        by_score: whether it does.
    """

    function: Callable[..., Sequence[tuple[int, int]]]
    by_score: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """What the function is called with besides its settings, by position."""
        return ("scores",) if self.by_score else ("nodes",)


def as_placement(found: Placement | Callable[..., Sequence[tuple[int, int]]]) -> Placement:
    """A placement as it is; a plain function is one that looks at no score."""
    return found if isinstance(found, Placement) else Placement(found)


def _as_a_set(edges: Pairs) -> Pairs:
    if len(set(edges)) < len(edges):
        raise ValueError("should name every edge once")
    return tuple(sorted(edges))  # the order carries no meaning: one set of edges, one run


def explicit(nodes: int, *, edges: Annotated[Pairs, AfterValidator(_as_a_set)]) -> Sequence[tuple[int, int]]:
    """The edges as listed.

    Args:
        nodes: not looked at here.
        edges: [[source, target], ...].
    """
    return edges


def all_parallel(nodes: int) -> tuple[Edge, ...]:
    """Beside every sub-block, attention and MLP: n-1 edges (i, i+1)."""
    return tuple(edge_space(nodes, "parallel"))


def all_sequential(nodes: int) -> tuple[Edge, ...]:
    """After the embedding and after every sub-block: n edges (i, i)."""
    return tuple(edge_space(nodes, "sequential"))


def attention_parallel(nodes: int) -> tuple[Edge, ...]:
    """Beside every attention: (n-1)/2 edges (2l, 2l+1)."""
    return all_parallel(nodes)[::2]


def ffn_parallel(nodes: int) -> tuple[Edge, ...]:
    """Beside every MLP, where AdaptFormer and He et al. have them: (n-1)/2 edges (2l+1, 2l+2)."""
    return all_parallel(nodes)[1::2]


def after_attention(nodes: int) -> tuple[Edge, ...]:
    """After every attention and its residual add: (n-1)/2 edges (2l+1, 2l+1)."""
    return all_sequential(nodes)[1::2]


def after_ffn(nodes: int) -> tuple[Edge, ...]:
    """After every MLP and its residual add, where Adapter+ has them: (n-1)/2 edges (2l+2, 2l+2)."""
    return all_sequential(nodes)[2::2]


def after_sub_blocks(nodes: int) -> tuple[Edge, ...]:
    """After every attention and every MLP, but not after the embedding: n-1 edges (i, i)."""
    return all_sequential(nodes)[1:]


def first_k(nodes: int, *, count: Count) -> tuple[Edge, ...]:
    """The `count` parallel edges nearest the input; k counts sub-blocks, not blocks (own choice).

    Args:
        nodes: of the backbone.
        count: how many edges.
    """
    parallel = all_parallel(nodes)
    return parallel[: checked_count(count, len(parallel), "parallel")]


def last_k(nodes: int, *, count: Count) -> tuple[Edge, ...]:
    """The `count` parallel edges nearest the output; k counts sub-blocks, not blocks (own choice).

    Args:
        nodes: of the backbone.
        count: how many edges.
    """
    parallel = all_parallel(nodes)
    return parallel[-checked_count(count, len(parallel), "parallel") :]


def random(nodes: int, *, count: Count, edge_kind: EdgeKind = "any", seed: Index = 0) -> tuple[Edge, ...]:
    """`count` edges drawn uniformly without replacement from the edges of a kind.

    A seed gives every edge a rank from a hash, and the lowest ones are taken. They are therefore the same on every
    machine and version, apart from the run's seed, and nested: the 12 edges of a seed are among its 24.

    Args:
        nodes: of the backbone.
        count: how many edges.
        edge_kind: the kind of edge drawn from.
        seed: which drawing, independent of the run's seed.
    """
    space = edge_space(nodes, edge_kind)
    count = checked_count(count, len(space), edge_kind)
    ranked = sorted(space, key=lambda edge: hashlib.sha256(f"{nodes} nodes, draw {seed}, {edge}".encode()).digest())
    return tuple(ranked[:count])


@partial(Placement, by_score=True)
def gradient_guided(scores: ScoreMap, *, count: Count, gamma: FractionBelowOne = 0.6) -> tuple[Edge, ...]:
    """Gradient Guided Adapters (2410.15858, section 3.3): the best edge, again and again, its neighbours discounted.

    After edge (k, l) is chosen, the score of every edge (i, j) is multiplied by 1 - gamma^(|i - k| + |j - l|), which is
    0 for the edge itself. The paper prints the distance with k and l exchanged. Of equal scores the edge that is first
    by source, then by target, is taken.

    Args:
        scores: of every edge.
        count: how many edges.
        gamma: how far a choice reaches (0.6 in the paper); 0 discounts nothing but the edge itself.
    """
    nodes = range(len(scores))
    left = {Edge(i, j): scores[i][j] for i in nodes for j in nodes}
    chosen = []
    for _ in range(checked_count(count, len(left), "any")):
        best = max(left, key=left.__getitem__)  # the first of equals, as edges are in order
        chosen.append(best)
        del left[best]
        for edge in left:
            left[edge] *= 1 - gamma ** (abs(edge.source - best.source) + abs(edge.target - best.target))
    return tuple(chosen)


@partial(Placement, by_score=True)
def top_k(scores: ScoreMap, *, count: Count) -> Sequence[tuple[int, int]]:
    """The `count` edges with the highest score, neighbours or not; `gradient-guided` without discount.

    Args:
        scores: of every edge.
        count: how many edges.
    """
    return gradient_guided.function(scores, count=count, gamma=0.0)


def checked_count(count: int, most: int, kind: str) -> int:
    """`count`, if the space holds that many edges."""
    if not 1 <= count <= most:
        among = "" if kind == "any" else f" {kind}"
        message = f"must be between 1 and {most}, the number of{among} edges of this backbone"
        raise UserError(Problem(message, where="method.placement.count", value=str(count)))
    return count


def select_edges(placement: str, nodes: int, scores: ScoreMap | None = None, **settings: Any) -> tuple[Edge, ...]:
    """The edges of a named placement, checked and in canonical order (by source, then target).

    Args:
        placement: a name in PLACEMENTS, or "FILE.py:FUNCTION".
        nodes: n = 2L+1 of the backbone.
        scores: of its edges, for a placement that goes by a score.
        settings: the placement's keyword arguments.

    Raises:
        UserError: unknown placement or edge kind, impossible count or edges, scores that are negative.
        ValueError: the placement goes by a score and there is none.
    """
    chosen = as_placement(resolve(PLACEMENTS, placement, "placement"))
    if chosen.by_score and scores is None:
        raise ValueError(f"{placement} chooses by scores")
    if scores is not None and min(map(min, scores)) < 0:
        raise UserError(Problem("has negative values, by which no edges can be chosen", "method.score"))
    with calling(placement, "method.placement"):
        where = "method.placement.edges" if "edges" in settings else "method.placement"
        return check_edges(chosen.function(scores if chosen.by_score else nodes, **settings), nodes, where)
