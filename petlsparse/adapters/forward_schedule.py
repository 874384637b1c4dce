"""The main pass of placements, one or several, as a schedule: who joins where, what is read and written at each node.

No torch here: a schedule is made once and executed for every batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from petlsparse.adapters.edges import Edge, lowest_written_node, node_read, reads_frozen


class NodeRef(NamedTuple):
    """A value of the stream."""

    frozen: bool
    """The frozen network's value; else that of the main pass."""
    node: int


@dataclass(frozen=True)
class SourceNode:
    """A value, and the adapters that read it, in the order of their members' rows."""

    ref: NodeRef
    members: tuple[int, ...]
    """Whose each adapter is; one may have several at a target, but with feedback only one for each source."""
    rows: tuple[int, ...]
    """The members' rows of the common batch."""
    adapters: tuple[int, ...]
    """Numbers among the adapters of all members: by member, then in the order of its edges."""


@dataclass(frozen=True)
class NodeStep:
    """What happens at a node, once the sub-block that leads to it is computed."""

    node: int
    joins: tuple[int, ...]
    """Members whose lowest written node this is: up to here each is the frozen network."""
    sources: tuple[SourceNode, ...]
    """Of the adapters that write here. Those that read this node read it before the write."""
    keep: bool
    """Whether what is written here is read later."""
    frees: tuple[NodeRef, ...]
    """What is not read any more."""

    @property
    def adapters(self) -> tuple[int, ...]:
        """All that write here."""
        return tuple(adapter for source in self.sources for adapter in source.adapters)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the common batch that each of `adapters` writes to."""
        return tuple(row for source in self.sources for row in source.rows)


class ForwardSchedule(NamedTuple):
    """The main pass of M placements."""

    steps: tuple[NodeStep, ...]
    """All nodes from the lowest that is written to the last."""
    rows: tuple[int, ...]
    """Member -> its row of the common batch, which grows at its end: members come in the order in which they join."""


def forward_schedule(placements: Sequence[Sequence[Edge]], nodes: int, *, feedback: bool = True) -> ForwardSchedule:
    """The schedule of several placements, edges or none (a linear probe), over `nodes` nodes; see `node_read`."""
    starts = [lowest_written_node(edges, nodes) for edges in placements]
    order = sorted(range(len(placements)), key=starts.__getitem__)
    rows = tuple(order.index(member) for member in range(len(placements)))

    reads: defaultdict[tuple[int, NodeRef], list[tuple[int, int, int]]] = defaultdict(list)
    last_read = {NodeRef(frozen=True, node=start): start for start in starts}
    edges_of_all = [(member, edge) for member, edges in enumerate(placements) for edge in edges]
    for adapter, (member, edge) in enumerate(edges_of_all):
        ref = NodeRef(reads_frozen(edge, starts[member]), node_read(edge, feedback=feedback))
        reads[edge.target, ref].append((rows[member], member, adapter))
        last_read[ref] = max(edge.target, last_read.get(ref, 0))

    def source(ref: NodeRef, readers: list[tuple[int, int, int]]) -> SourceNode:
        of_rows, members, adapters = zip(*sorted(readers), strict=True)
        return SourceNode(ref, members, of_rows, adapters)

    steps = [
        NodeStep(
            node,
            joins=tuple(member for member in order if starts[member] == node),
            sources=tuple(source(ref, reads[target, ref]) for target, ref in sorted(reads) if target == node),
            keep=last_read.get(NodeRef(frozen=False, node=node), 0) > node,
            frees=tuple(ref for ref, last in last_read.items() if last == node),
        )
        for node in range(min(starts), nodes)
    ]
    return ForwardSchedule(tuple(steps), rows)
