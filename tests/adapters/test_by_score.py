"""Edges chosen by a score of every edge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.adapters.edges import Edge, edge_space
from petlsparse.adapters.placements import gradient_guided, select_edges
from petlsparse.errors import UserError

ROW_MAJOR = [[float(5 * i + j + 1) for j in range(5)] for i in range(5)]


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [
        (0.6, [(4, 4), (4, 0), (3, 2), (2, 4), (2, 0), (4, 3)]),
        (0.0, [(4, 4), (4, 3), (4, 2), (4, 1), (4, 0), (3, 4)]),
    ],
)
def test_the_golden_picks(gamma: float, expected: list[tuple[int, int]]) -> None:
    assert list(gradient_guided.function(ROW_MAJOR, count=6, gamma=gamma)) == expected
    assert select_edges("gradient-guided", 5, ROW_MAJOR, count=6, gamma=gamma) == tuple(sorted(expected))


def test_the_discount_at_each_distance() -> None:
    """From a map that is flat but for its first corner, two picks on: which of two edges is next tells the factor."""
    expected = [0, 0.4, 0.64, 0.784, 0.8704, 0.92224, 0.953344, 0.9720064, 0.98320384]
    for distance, factor in enumerate(expected):
        for above, wanted in ((1e-6, True), (-1e-6, False)):
            scores = [[0.0] * 9 for _ in range(9)]
            scores[0][0] = 100.0
            scores[8][8] = 1e-9  # always there to be taken
            rival, tested = (8, 0), (distance // 2, distance - distance // 2)
            scores[tested[0]][tested[1]] = 1.0 if distance else 100.0
            discount = 1 - 0.6**8
            scores[rival[0]][rival[1]] = (factor - above) / discount if distance else 0.0
            picked = gradient_guided.function(scores, count=2, gamma=0.6)
            if distance in (0, 8):  # the pick itself; as far as the rival
                continue
            assert (picked[1] == tested) is wanted


def brute_force(scores: list[list[float]], count: int, gamma: float) -> list[tuple[int, int]]:
    """The paper's loop, with a matrix of factors for every pick and 0^0 = 1."""
    n, current, picks = len(scores), [list(row) for row in scores], []
    for _ in range(count):
        best = max(max(row) for row in current)
        k, m = next((i, j) for i in range(n) for j in range(n) if current[i][j] == best and (i, j) not in picks)
        picks.append((k, m))
        for i in range(n):
            for j in range(n):
                distance = abs(i - k) + abs(j - m)
                current[i][j] *= 1 - (1.0 if distance == 0 else gamma**distance)
    return picks


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(st.integers(1, 9).map(float), min_size=n, max_size=n), min_size=n, max_size=n),
            st.integers(1, n * n),
            st.sampled_from([0.0, 0.2, 0.6, 0.99]),
        )
    )
)
def test_it_is_the_papers_loop_with_the_first_of_equals(case: tuple[list[list[float]], int, float]) -> None:
    scores, count, gamma = case
    picked = gradient_guided.function(scores, count=count, gamma=gamma)
    assert list(picked) == brute_force(scores, count, gamma)
    assert len(set(picked)) == count


def test_zeros_are_taken_last_and_each_once() -> None:
    picked = gradient_guided.function([[0.0] * 3] * 3, count=9, gamma=0.6)
    assert list(picked) == edge_space(3)


def test_top_k_are_the_best_without_regard_to_their_neighbours() -> None:
    assert select_edges("top-k", 5, ROW_MAJOR, count=3) == (Edge(4, 2), Edge(4, 3), Edge(4, 4))


@pytest.mark.parametrize(
    ("scores", "settings", "message"),
    [
        (ROW_MAJOR, {"count": 26}, "between 1 and 25"),
        ([[1.0, -0.1], [0.0, 1.0]], {"count": 1}, "negative values"),
    ],
)
def test_what_cannot_be_chosen_is_told(scores: list[list[float]], settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        select_edges("gradient-guided", len(scores), scores, **settings)
