"""The schedule of a common pass, against schedules worked out by hand and the reading rules of a placement alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from petlsparse.adapters.edges import Edge, check_edges, lowest_written_node
from petlsparse.adapters.forward_schedule import NodeRef, NodeStep, SourceNode, forward_schedule

NODES = 5


def test_two_placements_and_a_probe_by_hand() -> None:
    #  member 0 starts at 2, member 1 (a probe) at 4, member 2 at 1
    late, early = [Edge(0, 3), Edge(2, 2), Edge(4, 3)], [Edge(0, 1), Edge(1, 3), Edge(2, 2)]
    steps, rows = forward_schedule([late, [], early], NODES)
    assert rows == (1, 2, 0)
    main, frozen = (lambda node: NodeRef(False, node)), (lambda node: NodeRef(True, node))
    assert steps == (
        NodeStep(1, (2,), (SourceNode(frozen(0), (2,), (0,), (3,)),), keep=True, frees=(frozen(1),)),
        NodeStep(2, (0,), (SourceNode(main(2), (2, 0), (0, 1), (5, 1)),), keep=False, frees=(frozen(2), main(2))),
        NodeStep(
            3,
            (),
            (
                SourceNode(main(1), (2,), (0,), (4,)),
                SourceNode(frozen(0), (0,), (1,), (0,)),
                SourceNode(frozen(4), (0,), (1,), (2,)),
            ),
            keep=False,
            frees=(frozen(0), main(1)),
        ),
        NodeStep(4, (1,), (), keep=False, frees=(frozen(4),)),
    )


pairs = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))


@given(st.lists(st.lists(pairs, unique=True, max_size=8), min_size=1, max_size=4))
def test_every_value_that_is_read_is_there_and_none_stays_longer(cohort: list[list[tuple[int, int]]]) -> None:
    placements = [check_edges(edges, NODES) for edges in cohort]
    starts = [lowest_written_node(edges, NODES) for edges in placements]
    steps, rows = forward_schedule(placements, NODES)
    there = {NodeRef(True, node) for node in range(NODES)}
    used: set[NodeRef] = set()
    read, inside = [], 0
    for step in steps:
        assert all(rows[member] == inside + n for n, member in enumerate(step.joins))
        inside += len(step.joins)
        assert not step.joins or NodeRef(True, step.node) in there
        for source in step.sources:
            assert source.ref in there or source.ref == NodeRef(False, step.node)
            assert source.rows == tuple(rows[member] for member in source.members)
            assert max(source.rows) < inside
            read += [(m, Edge(source.ref.node, step.node), source.ref.frozen) for m in source.members]
        if step.keep:
            there.add(NodeRef(False, step.node))
        there -= set(step.frees)
        used |= set(step.frees)
    needed = {NodeRef(frozen, edge.source) for _, edge, frozen in read} | {NodeRef(True, start) for start in starts}
    assert used == needed
    assert not {ref for ref in there if not ref.frozen}
    assert sorted(read) == sorted(
        (m, edge, edge.source > edge.target or edge.source < starts[m])
        for m, edges in enumerate(placements)
        for edge in edges
    )
