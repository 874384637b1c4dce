"""Where to put adapters: functions from the number of nodes to edges (arXiv 2410.15858).

A placement's keyword arguments are its settings in a recipe, which is read without torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator

from petlsparse.adapters import PLACEMENTS
from petlsparse.adapters.edges import Edge, EdgeKind, check_edges, edge_space
from petlsparse.errors import Problem, UserError
from petlsparse.registry import calling, resolve
from petlsparse.settings import Count, Index, Pairs


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


def checked_count(count: int, most: int, kind: str) -> int:
    """`count`, if the space holds that many edges."""
    if not 1 <= count <= most:
        among = "" if kind == "any" else f" {kind}"
        message = f"must be between 1 and {most}, the number of{among} edges of this backbone"
        raise UserError(Problem(message, where="method.placement.count", value=str(count)))
    return count


def select_edges(placement: str, nodes: int, **settings: Any) -> tuple[Edge, ...]:
    """The edges of a named placement, checked and in canonical order (by source, then target).

    Args:
        placement: a name in PLACEMENTS, or "FILE.py:FUNCTION".
        nodes: n = 2L+1 of the backbone.
        settings: the placement's keyword arguments.

    Raises:
        UserError: unknown placement or edge kind, impossible count or edges.
    """
    function = resolve(PLACEMENTS, placement, "placement")
    with calling(placement, "method.placement"):
        where = "method.placement.edges" if "edges" in settings else "method.placement"
        return check_edges(function(nodes, **settings), nodes, where)
