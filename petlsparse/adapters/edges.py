"""The placement space: an adapter is an edge (source, target) over n nodes (arXiv 2410.15858).

It reads node `source` and adds to node `target`. No torch here: plans and recipes reason about edges too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import index
from typing import Literal, NamedTuple, SupportsIndex, get_args

from petlsparse.errors import Problem, UserError, unknown_name

Kind = Literal["sequential", "parallel", "long-range", "recurrent"]
EdgeKind = Literal["any", "sequential", "parallel", "long-range", "recurrent"]
EDGE_KINDS: tuple[str, ...] = get_args(EdgeKind)


class Edge(NamedTuple):
    """An adapter's place: reads node `source`, adds to node `target`."""

    source: int
    target: int

    @property
    def kind(self) -> Kind:
        """How far the edge reaches; recurrent edges go back and need the base pass."""
        if self.source > self.target:
            return "recurrent"
        if self.source == self.target:
            return "sequential"
        return "parallel" if self.target == self.source + 1 else "long-range"

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


def edge_space(nodes: int, kind: str = "any") -> list[Edge]:
    """All edges of a kind over `nodes` nodes, by source, then target: n^2 in all.

    n sequential, n-1 parallel, (n-1)(n-2)/2 long-range and n(n-1)/2 recurrent ones.

    Raises:
        UserError: unknown kind.
    """
    if kind not in EDGE_KINDS:
        raise UserError(unknown_name("edge kind", kind, EDGE_KINDS, "method.placement.edge_kind"))
    edges = (Edge(i, j) for i in range(nodes) for j in range(nodes))
    return [edge for edge in edges if kind in ("any", edge.kind)]


def check_edges(
    edges: Iterable[tuple[int, int]], nodes: int, where: str = "method.placement.edges"
) -> tuple[Edge, ...]:
    """The edges in canonical order (by source, then target), so that a run does not depend on how they were listed.

    `where` is the setting that they come from.

    Raises:
        UserError: what is no pair of whole numbers, nodes outside 0..nodes-1, or an edge named twice; every such edge
            is reported.
    """
    given = [_edge(edge, where) for edge in edges]
    problems = []
    for edge in sorted(set(given)):
        if not (0 <= edge.source < nodes and 0 <= edge.target < nodes):
            message = f"edge {edge} leaves the backbone, whose nodes are 0..{nodes - 1}"
            problems.append(Problem(message, where))
        if given.count(edge) > 1:
            problems.append(Problem(f"edge {edge} is given {given.count(edge)} times", where))
    if problems:
        raise UserError(*problems)
    return tuple(sorted(given))


def _edge(given: Sequence[SupportsIndex], where: str) -> Edge:
    try:
        source, target = map(index, given)
    except (TypeError, ValueError) as error:
        raise UserError(Problem("an edge is a pair of nodes, (source, target)", where, str(given))) from error
    return Edge(source, target)


def lowest_written_node(edges: Collection[Edge], nodes: int) -> int:
    """The first node whose value depends on anything trained; the last node when there is no edge.

    Everything up to there, before the write, is a function of the frozen backbone and the image alone.
    """
    return min((edge.target for edge in edges), default=nodes - 1)


def reads_frozen(edge: Edge, start: int) -> bool:
    """Whether an edge of a placement that starts at node `start` reads the frozen network: from below or from above."""
    return edge.source < start or edge.kind == "recurrent"


def node_read(edge: Edge, *, feedback: bool = True) -> int:
    """The node that an edge reads: its source; without feedback, where it would go back, the node that it writes to.

    Both are values of the base pass then, of equal shape: a control that computes as much, and tells as little of what
    lies above as an adapter without a second pass.
    """
    return edge.source if feedback or edge.kind != "recurrent" else edge.target


def check_feedback(edges: Collection[Edge]) -> None:
    """Raises UserError if nothing would change without feedback."""
    if all(edge.kind != "recurrent" for edge in edges):
        message = "changes nothing: no edge of the placement is recurrent; leave it out"
        raise UserError(Problem(message, "method.feedback", "false"))


def frozen_nodes(edges: Collection[Edge], nodes: int, *, feedback: bool = True) -> tuple[int, ...]:
    """The nodes of the frozen network from which a placement can be computed, ascending.

    The lowest written node, where the main pass starts; sources below it; sources of recurrent edges. Values at
    these nodes depend on backbone and image alone, so a cache of them replaces the images.
    """
    start = lowest_written_node(edges, nodes)
    return tuple(sorted({start, *(node_read(edge, feedback=feedback) for edge in edges if reads_frozen(edge, start))}))
