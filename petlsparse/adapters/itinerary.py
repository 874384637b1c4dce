"""Several placements on one way through the stream: who enters where, and what is read and written at each node.

No torch here: the way is planned once and gone by every batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from petlsparse.adapters.edges import Edge, lowest_written_node


class Place(NamedTuple):
    """A value of the stream."""

    frozen: bool
    """The frozen network's value; else that of the main pass."""
    node: int


@dataclass(frozen=True)
class Source:
    """A value, and the adapters that read it, in the order of their members' rows."""

    place: Place
    members: tuple[int, ...]
    """Whose each adapter is; one may have several at a target, but only one for each source."""
    rows: tuple[int, ...]
    """Theirs in the common batch."""
    adapters: tuple[int, ...]
    """Numbers among the adapters of all members: by member, then in the order of its edges."""


@dataclass(frozen=True)
class Stop:
    """What happens at a node, once the sub-block that leads to it is computed."""

    node: int
    entering: tuple[int, ...]
    """Members whose lowest written node this is: up to here each is the frozen network."""
    sources: tuple[Source, ...]
    """Of the adapters that write here. Those that read this node read it before the write."""
    keep: bool
    """Whether what is written here is read later."""
    drop: tuple[Place, ...]
    """What is not read any more."""

    @property
    def adapters(self) -> tuple[int, ...]:
        """All that write here."""
        return tuple(adapter for source in self.sources for adapter in source.adapters)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the common batch that each of `adapters` writes to."""
        return tuple(row for source in self.sources for row in source.rows)


class Itinerary(NamedTuple):
    """The way of M placements."""

    stops: tuple[Stop, ...]
    """All nodes from the lowest that anyone writes to the last."""
    rows: tuple[int, ...]
    """Member -> its row of the common batch, which grows at its end: whoever starts first comes first."""


def itinerary(placements: Sequence[Sequence[Edge]], nodes: int) -> Itinerary:
    """Plan the way of several placements, edges or none (a linear probe), through `nodes` nodes."""
    starts = [lowest_written_node(edges, nodes) for edges in placements]
    order = sorted(range(len(placements)), key=starts.__getitem__)
    rows = tuple(order.index(member) for member in range(len(placements)))

    reads: defaultdict[tuple[int, Place], list[tuple[int, int, int]]] = defaultdict(list)
    last_read = {Place(frozen=True, node=start): start for start in starts}
    edges_of_all = [(member, edge) for member, edges in enumerate(placements) for edge in edges]
    for adapter, (member, edge) in enumerate(edges_of_all):
        place = Place(edge.kind == "recurrent" or edge.source < starts[member], edge.source)
        reads[edge.target, place].append((rows[member], member, adapter))
        last_read[place] = max(edge.target, last_read.get(place, 0))

    def source(place: Place, readers: list[tuple[int, int, int]]) -> Source:
        of_rows, members, adapters = zip(*sorted(readers), strict=True)
        return Source(place, members, of_rows, adapters)

    stops = [
        Stop(
            node,
            entering=tuple(member for member in order if starts[member] == node),
            sources=tuple(source(place, reads[target, place]) for target, place in sorted(reads) if target == node),
            keep=last_read.get(Place(frozen=False, node=node), 0) > node,
            drop=tuple(place for place, last in last_read.items() if last == node),
        )
        for node in range(min(starts), nodes)
    ]
    return Itinerary(tuple(stops), rows)
