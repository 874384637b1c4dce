"""Where to put adapters: functions from the number of nodes to edges (arXiv 2410.15858).

A placement takes only the options that mean something to it; `select_edges` refuses the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from inspect import signature

from petlsparse.adapters import PLACEMENTS
from petlsparse.adapters.edges import Edge, check_edges, edge_space
from petlsparse.errors import Problem, UserError
from petlsparse.registry import resolve


def explicit(nodes: int, *, edges: Sequence[tuple[int, int]] = ()) -> tuple[Edge, ...]:
    """The edges as listed."""
    if not edges:
        raise UserError(Problem('placement "explicit" needs edges, such as [[0, 1], [6, 2]]', where="method.edges"))
    return check_edges(edges, nodes)


def all_parallel(nodes: int) -> tuple[Edge, ...]:
    """Beside every sub-block, attention and MLP: n-1 edges (i, i+1)."""
    return tuple(edge_space(nodes, "parallel"))


def all_sequential(nodes: int) -> tuple[Edge, ...]:
    """After the embedding and after every sub-block: n edges (i, i)."""
    return tuple(edge_space(nodes, "sequential"))


def first_k(nodes: int, *, count: int | None = None) -> tuple[Edge, ...]:
    """The `count` parallel edges nearest the input; k counts sub-blocks, not blocks (own choice)."""
    parallel = all_parallel(nodes)
    return parallel[: checked_count(count, len(parallel), "first-k", "parallel")]


def last_k(nodes: int, *, count: int | None = None) -> tuple[Edge, ...]:
    """The `count` parallel edges nearest the output; k counts sub-blocks, not blocks (own choice)."""
    parallel = all_parallel(nodes)
    return parallel[-checked_count(count, len(parallel), "last-k", "parallel") :]


def random(nodes: int, *, count: int | None = None, edge_kind: str = "any", draw: int = 0) -> tuple[Edge, ...]:
    """`count` edges drawn uniformly without replacement from the edges of a kind.

    A draw gives every edge a rank from a hash and takes the lowest ones. It is therefore the same on every machine
    and version, apart from the run's seed, and nested: the 12 edges of a draw are among its 24.
    """
    space = edge_space(nodes, edge_kind)
    count = checked_count(count, len(space), "random", edge_kind)
    ranked = sorted(space, key=lambda edge: hashlib.sha256(f"{nodes} nodes, draw {draw}, {edge}".encode()).digest())
    return tuple(sorted(ranked[:count]))


def checked_count(count: int | None, most: int, placement: str, kind: str) -> int:
    """`count`, if the space holds that many edges."""
    if count is None:
        raise UserError(Problem(f'placement "{placement}" needs a count', where="method.count"))
    if not 1 <= count <= most:
        among = "" if kind == "any" else f" {kind}"
        message = f"must be between 1 and {most}, the number of{among} edges of this backbone"
        raise UserError(Problem(message, where="method.count", value=str(count)))
    return count


def select_edges(
    placement: str,
    nodes: int,
    *,
    edges: Sequence[tuple[int, int]] = (),
    count: int | None = None,
    edge_kind: str = "any",
    draw: int = 0,
) -> tuple[Edge, ...]:
    """The edges of a named placement, in canonical order (by source, then target).

    Args:
        placement: a name in PLACEMENTS.
        nodes: n = 2L+1 of the backbone.
        edges: for "explicit", pairs (source, target).
        count: for "random", "first-k" and "last-k".
        edge_kind: for "random", the kind to draw from.
        draw: for "random", which draw; independent of the run's seed.

    Raises:
        UserError: unknown placement or edge kind, impossible count or edges, an option the placement does not take.
    """
    place = resolve(PLACEMENTS, placement, "placement")
    given = {
        "edges": (edges, ()),
        "count": (count, None),
        "edge_kind": (edge_kind, "any"),
        "draw": (draw, 0),
    }
    options = {name: value for name, (value, default) in given.items() if value != default}
    if foreign := options.keys() - signature(place).parameters.keys():
        takes = tuple(list(signature(place).parameters)[1:])
        message = f'placement "{placement}" takes no such option'
        raise UserError(*(Problem(message, f"method.{name}", valid=takes) for name in sorted(foreign)))
    chosen: tuple[Edge, ...] = place(nodes, **options)
    return chosen
