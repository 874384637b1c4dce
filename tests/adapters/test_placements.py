"""Placements: which edges, reproducibly, and refused when they cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.adapters.edges import EDGE_KINDS, Edge, edge_space
from petlsparse.adapters.placements import select_edges
from petlsparse.errors import UserError


def test_all_parallel_and_all_sequential_cover_every_position() -> None:
    assert select_edges("all-parallel", 5) == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert select_edges("all-sequential", 5) == ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4))
    assert len(select_edges("all-parallel", 25)) == 24


def test_placements_of_a_kind_of_sub_block_are_beside_it_or_after_it() -> None:
    # Two blocks: node 0 is the input, 1 and 3 come after attention, 2 and 4 after the MLP.
    assert select_edges("attention-parallel", 5) == ((0, 1), (2, 3))
    assert select_edges("ffn-parallel", 5) == ((1, 2), (3, 4))
    assert select_edges("after-attention", 5) == ((1, 1), (3, 3))
    assert select_edges("after-ffn", 5) == ((2, 2), (4, 4))
    assert select_edges("after-sub-blocks", 5) == ((1, 1), (2, 2), (3, 3), (4, 4))


def test_first_k_and_last_k_are_parallel_edges_at_the_ends() -> None:
    assert select_edges("first-k", 7, count=3) == ((0, 1), (1, 2), (2, 3))
    assert select_edges("last-k", 7, count=2) == ((4, 5), (5, 6))
    assert select_edges("first-k", 7, count=6) == select_edges("last-k", 7, count=6) == select_edges("all-parallel", 7)


def test_explicit_edges_are_put_in_canonical_order() -> None:
    chosen = select_edges("explicit", 25, edges=[(24, 6), [3, 3], (0, 24)])
    assert chosen == (Edge(0, 24), Edge(3, 3), Edge(24, 6))
    assert [edge.kind for edge in chosen] == ["long-range", "sequential", "recurrent"]


draws = st.tuples(st.integers(2, 13), st.sampled_from(EDGE_KINDS), st.integers(0, 10**6), st.data())


@given(draws)
def test_a_random_placement_is_distinct_edges_of_the_kind_asked_for(
    case: tuple[int, str, int, st.DataObject],
) -> None:
    nodes, kind, draw, data = case
    space = edge_space(nodes, kind)
    if not space:
        return
    count = data.draw(st.integers(1, len(space)))
    chosen = select_edges("random", nodes, count=count, edge_kind=kind, seed=draw)
    assert len(set(chosen)) == count
    assert set(chosen) <= set(space)
    assert list(chosen) == sorted(chosen)
    larger = select_edges("random", nodes, count=len(space), edge_kind=kind, seed=draw)
    assert larger == tuple(space)


@given(st.integers(0, 10**6), st.integers(1, 24))
def test_fewer_edges_of_a_draw_are_among_its_more(draw: int, count: int) -> None:
    fewer = select_edges("random", 5, count=count, edge_kind="any", seed=draw)
    assert set(fewer) < set(select_edges("random", 5, count=count + 1, edge_kind="any", seed=draw))


def test_random_placements_are_uniform_over_edges_and_pairs() -> None:
    draws, nodes, count = 4000, 4, 3
    edges: Counter[Edge] = Counter()
    pairs: Counter[tuple[Edge, Edge]] = Counter()
    for draw in range(draws):
        chosen = select_edges("random", nodes, count=count, edge_kind="any", seed=draw)
        edges.update(chosen)
        pairs.update((a, b) for a in chosen for b in chosen if a < b)
    # Binomial: 16 edges each with p = 3/16, 120 pairs each with p = 3/120; five standard deviations.
    for counter, ways, p in ((edges, 16, 3 / 16), (pairs, 120, 3 / 120)):
        assert len(counter) == ways
        slack = 5 * (draws * p * (1 - p)) ** 0.5
        assert all(abs(seen - draws * p) < slack for seen in counter.values())


GOLDEN = ((4, 6), (4, 18), (16, 21), (20, 15))


def test_a_draw_is_the_same_in_every_process_and_version() -> None:
    assert select_edges("random", 25, count=4, edge_kind="any", seed=7) == GOLDEN
    script = (
        "from petlsparse.adapters.placements import *;"
        "print(*select_edges('random', 25, count=4, edge_kind='any', seed=7))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(Edge(*edge)) for edge in GOLDEN]


def test_draws_differ() -> None:
    assert len({select_edges("random", 13, count=6, edge_kind="any", seed=draw) for draw in range(50)}) == 50


ANY = {"edge_kind": "any", "seed": 0}


@pytest.mark.parametrize(
    ("placement", "options", "says"),
    [
        ("random", {"count": 26, **ANY}, "between 1 and 25, the number of edges"),
        ("random", {**ANY, "count": 11, "edge_kind": "recurrent"}, "between 1 and 10, the number of recurrent edges"),
        ("random", {"count": 0, **ANY}, "method.placement.count"),
        ("random", {**ANY, "count": 1, "edge_kind": "backward"}, "unknown edge kind"),
        ("first-k", {"count": 5}, "between 1 and 4, the number of parallel edges"),
        ("last-k", {"count": -1}, "between 1 and 4"),
        ("explicit", {"edges": [(0, 5)]}, "0->5"),
        ("explicit", {"edges": [(1, 2), (1, 2)]}, "2 times"),
        ("all-paralel", {}, "did you mean all-parallel"),
    ],
)
def test_an_impossible_placement_is_refused(placement: str, options: dict, says: str) -> None:
    with pytest.raises(UserError) as caught:
        select_edges(placement, 5, **options)
    assert says in str(caught.value)


OWN = """
import numpy as np
def strided(nodes, *, stride):
    return (np.array([i, i + 1]) for i in range(0, nodes - 1, stride))
def beyond(nodes): return [(0, nodes)]
def single(nodes): return range(nodes)
def between(nodes): return [(0.5, 1)]
def broken(nodes):
    return [(1, 1 // 0)]
"""


def test_a_placement_of_ones_own_may_make_pairs_of_whole_numbers_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    edges = select_edges(f"{tmp_path}/mine.py:strided", 7, stride=3)
    assert edges == ((0, 1), (3, 4))
    assert json.dumps(edges) == "[[0, 1], [3, 4]]"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("beyond", "method.placement: edge 0->5 leaves the backbone, whose nodes are 0..4"),
        ("single", "method.placement: an edge is a pair of nodes, (source, target)\n  value: 0"),
        ("between", "method.placement: an edge is a pair of nodes, (source, target)\n  value: (0.5, 1)"),
        ("broken", 'mine.py:broken" fails in line 9: ZeroDivisionError'),
    ],
)
def test_what_is_wrong_with_a_placement_of_ones_own_is_told(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(UserError) as caught:
        select_edges(f"{tmp_path}/mine.py:{name}", 5)
    assert says in str(caught.value)


def test_choosing_edges_needs_no_torch() -> None:
    script = (
        "import sys; from petlsparse.adapters.placements import select_edges;"
        "print(len(select_edges('random', 25, count=3, edge_kind='any', seed=0)), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"]
