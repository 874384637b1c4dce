"""Where to put adapters: functions from the number of nodes to edges (arXiv 2410.15858).

A placement takes only the options that mean something to it; `select_edges` refuses the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from inspect import signature
from typing import Any

from petlsparse.adapters import PLACEMENTS
from petlsparse.adapters.edges import Edge, check_edges, edge_space
from petlsparse.errors import Problem, UserError
from petlsparse.registry import resolve


def explicit(nodes: int, *, edges: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """The edges as listed."""
    return edges


def all_parallel(nodes: int) -> tuple[Edge, ...]:
    """Beside every sub-block, attention and MLP: n-1 edges (i, i+1)."""
    return tuple(edge_space(nodes, "parallel"))


def all_sequential(nodes: int) -> tuple[Edge, ...]:
    """After the embedding and after every sub-block: n edges (i, i)."""
    return tuple(edge_space(nodes, "sequential"))


def first_k(nodes: int, *, count: int) -> tuple[Edge, ...]:
    """The `count` parallel edges nearest the input; k counts sub-blocks, not blocks (own choice)."""
    parallel = all_parallel(nodes)
    return parallel[: checked_count(count, len(parallel), "parallel")]


def last_k(nodes: int, *, count: int) -> tuple[Edge, ...]:
    """The `count` parallel edges nearest the output; k counts sub-blocks, not blocks (own choice)."""
    parallel = all_parallel(nodes)
    return parallel[-checked_count(count, len(parallel), "parallel") :]


def random(nodes: int, *, count: int, edge_kind: str, draw: int) -> tuple[Edge, ...]:
    """`count` edges drawn uniformly without replacement from the edges of a kind.

    A draw gives every edge a rank from a hash and takes the lowest ones. It is therefore the same on every machine
    and version, apart from the run's seed, and nested: the 12 edges of a draw are among its 24.
    """
    space = edge_space(nodes, edge_kind)
    count = checked_count(count, len(space), edge_kind)
    ranked = sorted(space, key=lambda edge: hashlib.sha256(f"{nodes} nodes, draw {draw}, {edge}".encode()).digest())
    return tuple(ranked[:count])


def checked_count(count: int, most: int, kind: str) -> int:
    """`count`, if the space holds that many edges."""
    if not 1 <= count <= most:
        among = "" if kind == "any" else f" {kind}"
        message = f"must be between 1 and {most}, the number of{among} edges of this backbone"
        raise UserError(Problem(message, where="method.count", value=str(count)))
    return count


def select_edges(placement: str, nodes: int, **options: Any) -> tuple[Edge, ...]:
    """The edges of a named placement, checked and in canonical order (by source, then target).

    Args:
        placement: a name in PLACEMENTS.
        nodes: n = 2L+1 of the backbone.
        options: what the placement takes; their defaults are those of the recipe (`recipe.methods.Adapters`).

    Raises:
        UserError: unknown placement or edge kind, impossible count or edges, an option that is missing or foreign.
    """
    place = resolve(PLACEMENTS, placement, "placement")
    takes = dict([*signature(place).parameters.items()][1:])
    required = {name for name, parameter in takes.items() if parameter.default is parameter.empty}
    foreign, missing = sorted(options.keys() - takes), sorted(required - options.keys())
    problems = [
        *(Problem(f'placement "{placement}" takes no such option', f"method.{n}", valid=tuple(takes)) for n in foreign),
        *(Problem(f'placement "{placement}" needs it', f"method.{name}") for name in missing),
    ]
    if problems:
        raise UserError(*problems)
    return check_edges(place(nodes, **options), nodes)
