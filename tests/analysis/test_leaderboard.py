"""Scores against trained edges, on numbers small enough to be worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from petlsparse.adapters.edges import Edge, edge_space
from petlsparse.analysis.leaderboard import leaderboard
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.score_maps import score_maps

TASK = {
    "data_name": "digits",
    "backbone_name": "vit-micro",
    "data_fingerprint": "d",
    "backbone_fingerprint": "b",
    "forward_fingerprint": "f",
}
NODES = 4


def row(kind: str, seed: int, run_id: str, **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "status": "done", "seed": seed, "method_kind": kind, "wall_seconds": 1.0, **TASK, **more}


def accuracy(edge: Edge, seed: int) -> float:
    """The best edge is (3, 0); seeds differ by a constant, but for one edge of seed 2."""
    return 10.0 * edge.source - edge.target + seed + (50.0 if (edge, seed) == (Edge(0, 3), 2) else 0.0)


def trained(seeds: tuple[int, ...] = (1, 2), **more: Any) -> list[dict[str, Any]]:
    return [
        row(
            "adapters", seed, f"{edge}/{seed}", edges=json.dumps([edge]), test_accuracy=accuracy(edge, seed),
            method_rank=8, **more,
        )
        for edge in edge_space(NODES)
        for seed in seeds
    ]  # fmt: skip


SCORES = {
    "like-it": lambda edge: 10.0 * edge.source - edge.target,
    "against-it": lambda edge: 100.0 - (10.0 * edge.source - edge.target),
    "constant": lambda edge: 1.0,
}


@pytest.fixture(autouse=True)
def _scored(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [(name, edge, score(edge)) for name, score in SCORES.items() for edge in edge_space(NODES)]
    columns = {
        "run_id": ["s"] * len(cells),
        "source": [edge.source for _, edge, _ in cells],
        "target": [edge.target for _, edge, _ in cells],
        "score_name": [name for name, _, _ in cells],
        "value": [value for _, _, value in cells],
    }
    monkeypatch.setattr("petlsparse.analysis.score_maps.read_columns", lambda *_: columns)


def standings(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {each.score: each for each in leaderboard(None, Runs.of(rows))}  # type: ignore[arg-type]


def test_correlation_and_regret_are_those_of_the_mean_over_seeds() -> None:
    found = standings([*trained((1,)), row("score", 1, "s")])
    assert list(found)[:2] == ["like-it", "against-it"]
    assert found["like-it"].correlation == pytest.approx(1)
    assert found["like-it"].regret == {1: 0.0, 3: 0.0, 10: 0.0}
    assert found["against-it"].correlation == pytest.approx(-1)
    # It puts (0, 3), (0, 2), (0, 1) first: accuracies -2, -1 and 0, against 31 of (3, 0); the tenth is (2, 2).
    assert found["against-it"].regret == {1: 33.0, 3: 31.0, 10: 12.0}
    assert found["constant"].correlation != found["constant"].correlation
    assert found["constant"].regret == {1: 30.0, 3: 30.0, 10: 10.0}  # by source, then target: (0, 0) first
    assert found["like-it"].edges == NODES**2
    assert found["like-it"].seeds == (1, 1)
    assert "another seed" not in found


def test_what_one_seed_foretells_of_the_others_is_beside_the_scores() -> None:
    own = standings([*trained((1, 2)), row("score", 1, "s")])["another seed"]
    # Seed 1 puts (3, 0) first: 32 of seed 2, whose best, (0, 3), has 49; seed 2 puts (0, 3) first: -2 of 31 in seed 1.
    assert own.regret[1] == pytest.approx(((49 - 32) + (31 - -2)) / 2)
    assert 0 < own.correlation < 1
    assert own.seeds == (2, 2)


@pytest.mark.parametrize(
    "rows",
    [
        trained((1,))[:9],
        [each | {"status": "failed"} for each in trained((1,))],
        [each | {"role": "candidate"} for each in trained((1,))],
        [each | {"edges": json.dumps([[0, 1], [1, 2]])} for each in trained((1,))],
    ],
)
def test_without_ten_single_edges_nothing_is_said(rows: list[dict[str, Any]]) -> None:
    assert standings([*rows, row("score", 1, "s")]) == {}


def test_other_data_and_other_ranks_are_other_tasks() -> None:
    other = trained((1,), data_fingerprint="other")
    wider = [each | {"method_rank": 16, "run_id": each["run_id"] + "w"} for each in trained((1,))]
    found = leaderboard(None, Runs.of([*trained((1,)), *other, *wider, row("score", 1, "s")]))  # type: ignore[arg-type]
    assert sum(each.score == "like-it" for each in found) == 2  # of this data, by either rank; no scores of the other


def test_maps_are_means_over_seeds_with_the_correlation_between_them() -> None:
    (first, *_) = score_maps(None, Runs.of([row("score", 1, "s"), row("score", 2, "s")]))  # type: ignore[arg-type]
    assert first.seeds == 2
    assert first.agreement == pytest.approx(1)
    assert first.ranked()[0] == (Edge(3, 0), 30.0)
