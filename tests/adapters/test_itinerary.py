"""The plan of a common way, against plans worked out by hand and the reading rules of a placement alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petlsparse.adapters.edges import Edge, check_edges, lowest_written_node
from petlsparse.adapters.itinerary import Place, Source, Stop, itinerary

NODES = 5


def test_two_placements_and_a_probe_by_hand() -> None:
    #  member 0 starts at 2, member 1 (a probe) at 4, member 2 at 1
    late, early = [Edge(0, 3), Edge(2, 2), Edge(4, 3)], [Edge(0, 1), Edge(1, 3), Edge(2, 2)]
    stops, rows = itinerary([late, [], early], NODES)
    assert rows == (1, 2, 0)
    main, frozen = (lambda node: Place(False, node)), (lambda node: Place(True, node))
    assert stops == (
        Stop(1, (2,), (Source(frozen(0), (2,), (0,), (3,)),), keep=True, drop=(frozen(1),)),
        Stop(2, (0,), (Source(main(2), (2, 0), (0, 1), (5, 1)),), keep=False, drop=(frozen(2), main(2))),
        Stop(
            3,
            (),
            (
                Source(main(1), (2,), (0,), (4,)),
                Source(frozen(0), (0,), (1,), (0,)),
                Source(frozen(4), (0,), (1,), (2,)),
            ),
            keep=False,
            drop=(frozen(0), main(1)),
        ),
        Stop(4, (1,), (), keep=False, drop=(frozen(4),)),
    )


pairs = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))


@given(st.lists(st.lists(pairs, unique=True, max_size=8), min_size=1, max_size=4))
def test_every_value_that_is_read_is_there_and_none_stays_longer(cohort: list[list[tuple[int, int]]]) -> None:
    placements = [check_edges(edges, NODES) for edges in cohort]
    starts = [lowest_written_node(edges, NODES) for edges in placements]
    stops, rows = itinerary(placements, NODES)
    there = {Place(True, node) for node in range(NODES)}
    used: set[Place] = set()
    read, inside = [], 0
    for stop in stops:
        assert all(rows[member] == inside + n for n, member in enumerate(stop.entering))
        inside += len(stop.entering)
        assert not stop.entering or Place(True, stop.node) in there
        for source in stop.sources:
            assert source.place in there or source.place == Place(False, stop.node)
            assert source.rows == tuple(rows[member] for member in source.members)
            assert max(source.rows) < inside
            read += [(m, Edge(source.place.node, stop.node), source.place.frozen) for m in source.members]
        if stop.keep:
            there.add(Place(False, stop.node))
        there -= set(stop.drop)
        used |= set(stop.drop)
    needed = {Place(frozen, edge.source) for _, edge, frozen in read} | {Place(True, start) for start in starts}
    assert used == needed
    assert not {place for place in there if not place.frozen}
    assert sorted(read) == sorted(
        (m, edge, edge.source > edge.target or edge.source < starts[m])
        for m, edges in enumerate(placements)
        for edge in edges
    )
