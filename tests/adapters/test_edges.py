"""The placement space: kinds, counts, order, and what an edge needs from the frozen network."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.adapters.edges import (
    Edge,
    check_edges,
    edge_space,
    frozen_nodes,
    lowest_written_node,
)
from petlsparse.errors import UserError


@pytest.mark.parametrize(
    ("nodes", "sequential", "parallel", "long_range", "recurrent"),
    [(25, 25, 24, 276, 300), (81, 81, 80, 3160, 3240), (1, 1, 0, 0, 0)],
)
def test_the_space_has_the_published_number_of_edges_of_every_kind(
    nodes: int, sequential: int, parallel: int, long_range: int, recurrent: int
) -> None:
    counts = Counter(edge.kind for edge in edge_space(nodes))
    assert counts.total() == nodes**2
    expected = {"sequential": sequential, "parallel": parallel, "long-range": long_range, "recurrent": recurrent}
    assert counts == Counter(expected)
    for kind, count in expected.items():
        assert len(edge_space(nodes, kind)) == count


def test_the_stride_three_grid_has_no_parallel_edge() -> None:
    grid = Counter(Edge(3 * a, 3 * b).kind for a in range(9) for b in range(9))
    assert grid == {"sequential": 9, "long-range": 36, "recurrent": 36}


def test_the_space_is_ordered_by_source_then_target() -> None:
    space = edge_space(4)
    assert space == [(i, j) for i in range(4) for j in range(4)]
    assert [str(edge) for edge in space[:5]] == ["0->0", "0->1", "0->2", "0->3", "1->0"]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean recurrent"):
        edge_space(5, "recurent")


def test_every_bad_edge_is_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        check_edges([(0, 1), (5, 0), (0, -1), (2, 2), (2, 2), (2, 2)], nodes=5)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "5->0" in text
    assert "0->-1" in text
    assert "2->2 is given 3 times" in text
    assert "0..4" in text


edge_sets = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))
)


@given(edge_sets)
def test_checked_edges_do_not_depend_on_the_order_given(case: tuple[int, set[tuple[int, int]]]) -> None:
    nodes, edges = case
    assert check_edges(sorted(edges), nodes) == check_edges(sorted(edges, reverse=True), nodes) == tuple(sorted(edges))


@given(edge_sets)
def test_frozen_nodes_are_the_start_and_every_source_training_cannot_change(
    case: tuple[int, set[tuple[int, int]]],
) -> None:
    nodes, pairs = case
    edges = [Edge(*pair) for pair in pairs]
    start = lowest_written_node(edges, nodes)
    assert all(target >= start for _, target in pairs)
    assert start in {target for _, target in pairs} or (not pairs and start == nodes - 1)
    needed = {start} | {i for i, j in pairs if i > j} | {i for i, j in pairs if i < start}
    assert frozen_nodes(edges, nodes) == tuple(sorted(needed))
