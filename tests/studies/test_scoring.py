"""Scores as runs, as what placements go by, and as what is computed once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from petlsparse.adapters.placements import gradient_guided
from petlsparse.data.loading import load_data
from petlsparse.data.types import Dataset
from petlsparse.errors import UserError
from petlsparse.homes import cache_home
from petlsparse.recipe.schema import Run
from petlsparse.studies import adapter_search, check_runs, describe, scoring
from tests.studies.settings import ADAPTED, execute, make

SCORE: dict[str, Any] = {"kind": "score", "scores": ["srank", {"name": "srank", "eta": 0.2}, "page"]}
GUIDED: dict[str, Any] = {
    "kind": "adapters",
    "placement": {"name": "gradient-guided", "count": 4},
    "score": "srank",
}
NODES = 13


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "cache"))


def run(method: dict[str, Any], **tables: Any) -> Run:
    return make(ADAPTED, method=method, **tables)


def maps(rows: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        found.setdefault(row["score_name"], [[-1.0] * NODES for _ in range(NODES)])[row["source"]][row["target"]] = row[
            "value"
        ]
    return found


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The scores of every time that some are computed."""
    computed: list[list[str]] = []
    real = scoring._computed

    def counted(scores: Any, *rest: Any) -> Any:
        computed.append([scoring.score_label(score) for _, score in scores])
        return real(scores, *rest)

    monkeypatch.setattr(scoring, "_computed", counted)
    return computed


def test_a_run_of_scores_has_a_row_for_each_edge_and_score_and_trains_nothing(tmp_path: Path) -> None:
    result = execute(run(SCORE), tmp_path / "run")
    assert result.status == "done"
    assert not result.metrics
    assert set(maps(result.rows["edges"])) == {"srank", "srank(eta=0.2)", "page"}
    assert len(result.rows["edges"]) == 3 * NODES**2
    assert {row["kind"] for row in result.rows["edges"]} == {"sequential", "parallel", "long-range", "recurrent"}
    assert result.cost["trainable_parameters"] == result.cost["training_flops"] == 0
    # 100 images of 4 patches and a class token: forward and backward, and 169 products of 96 x 5 and 5 x 96.
    forward = result.cost["inference_flops"]
    assert result.cost["scoring_flops"] == 100 * (2 * forward + 169 * 2 * 96 * 5 * 96)


def test_a_placement_takes_the_edges_that_the_map_of_its_score_gives(tmp_path: Path) -> None:
    values = maps(execute(run(SCORE), tmp_path / "map").rows["edges"])["srank"]
    trained = execute(run(GUIDED), tmp_path / "run")
    edges = json.loads(trained.provenance_extra["edges"])
    assert edges == sorted(map(list, gradient_guided.function(values, count=4)))
    assert {(row["source"], row["target"]) for row in trained.rows["edges"]} == set(map(tuple, edges))
    assert trained.cost["scoring_flops"] > 0


def test_all_seeds_share_a_placement_unless_the_scoring_has_another_seed(computations: list[list[str]]) -> None:
    pretrained = {"name": "vit-micro", "image_size": 16}
    first, second = (describe(run(GUIDED, backbone=pretrained, seed=seed)).derived["edges"] for seed in (1, 2))
    assert first == second
    assert len(computations) == 1
    describe(run({**GUIDED, "scoring_seed": 2}, backbone=pretrained))
    assert len(computations) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": {"name": "vit-micro", "pretrained": True, "image_size": 16}},
        {"data": {"name": "digits", "train_examples": 90}},
        {"method": {**SCORE, "scoring_images": 50}},
        {"method": {**SCORE, "scoring_head": "probe"}},
        {"method": {**SCORE, "scoring_gradient": "bottleneck", "rank": 4}},
        {"method": {**SCORE, "scoring_sketch": 16}},
        {"seed": 2},
    ],
)
def test_a_score_is_found_by_what_it_rests_on_and_by_nothing_else(
    tmp_path: Path, computations: list[list[str]], change: dict[str, Any]
) -> None:
    first = execute(run(SCORE), tmp_path / "first")
    other_optimizer = execute(run(SCORE, optimizer={"name": "sgd", "lr": 1.0}), tmp_path / "again")
    assert computations == [["srank", "srank(eta=0.2)", "page"]]
    assert other_optimizer.rows == first.rows
    changed = execute(make({**ADAPTED, "method": SCORE, **change}), tmp_path / "other")
    assert len(computations) == 2
    assert changed.rows != first.rows
    if "rank" in change.get("method", {}):
        wider = execute(run({**change["method"], "rank": 8}), tmp_path / "wider")
        assert wider.rows != changed.rows
        assert len(computations) == 3


def test_of_several_scores_those_that_are_known_are_not_computed_again(
    tmp_path: Path, computations: list[list[str]]
) -> None:
    execute(run(SCORE), tmp_path / "first")
    execute(run({**SCORE, "scores": ["page", "fisher"]}), tmp_path / "second")
    assert computations[1:] == [["fisher"]]


@pytest.mark.parametrize("damage", [b"", b"[[1, 2]]", b"nonsense", b"\xff"])
def test_a_stored_map_that_is_not_whole_is_computed_again(
    tmp_path: Path, computations: list[list[str]], damage: bytes
) -> None:
    first = execute(run(SCORE), tmp_path / "first")
    (stored, *_) = sorted((cache_home() / "scores").glob("*.json"))
    stored.write_bytes(damage)
    assert execute(run(SCORE), tmp_path / "second").rows == first.rows
    assert len(computations) == 2
    assert len(computations[1]) == 1


def test_where_nothing_can_be_stored_it_is_computed_every_time(
    tmp_path: Path, computations: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "file" / "cache"))
    method = {**SCORE, "scores": ["page"]}
    first, second = (execute(run(method), tmp_path / name) for name in ("first", "second"))
    assert first.rows == second.rows
    assert len(computations) == 2


def test_neither_test_nor_validation_images_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = execute(run(SCORE), tmp_path / "first")
    real = load_data(name="digits", train_examples=100, image_size=16, channels=3)

    def poisoned(self: Dataset) -> None:
        raise AssertionError("the test part was read")

    monkeypatch.setattr(Dataset, "test", poisoned)
    val = real.val.images.zero_()
    assert not val.any()
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "another"))
    assert execute(run(SCORE), tmp_path / "second").rows == whole.rows


def test_a_probed_head_classifies_the_images_that_it_was_trained_on() -> None:
    data = load_data(name="digits", train_examples=100, image_size=16, channels=3)
    assembled = adapter_search.assemble(run({"kind": "linear-probe"}), torch.device("cpu"), _inspect())
    stream = assembled.method.model.stream
    settings = run({**SCORE, "scoring_head": "probe"}).method
    about = scoring.Scoring(stream, data, settings, 1, {}, torch.device("cpu"))
    examples = about.examples()
    head = about.head(examples)
    with torch.no_grad():
        logits = torch.cat([head(stream(inputs)) for inputs, _ in about.batches(examples)])
    assert (logits.argmax(1) == examples.labels).float().mean() > 0.9


def _inspect() -> Any:
    from petlsparse.recipe.execution import INSPECT_ONLY

    return INSPECT_ONLY


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({**GUIDED, "placement": {"name": "gradient-guided", "count": 170}}, "between 1 and 169"),
        ({**SCORE, "scores": ["trace"], "scoring_gradient": "bottleneck"}, "only square matrices"),
    ],
)
def test_what_cannot_be_scored_or_chosen_is_one_message(tmp_path: Path, method: dict[str, Any], message: str) -> None:
    found = check_runs({"x": run(method)})
    with pytest.raises(UserError, match=message):
        found.require(["x"]) or execute(run(method), tmp_path / "run")


def test_a_score_of_ones_own_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def reach(nodes, source, *, power: float = 1.0):\n"
        '    """Norm of the gradient at the target."""\n'
        "    return nodes.gradients.flatten(1).norm(dim=1) ** power\n"
    )
    scored = execute(run({**SCORE, "scores": [f"{file}:reach"]}), tmp_path / "run")
    values = maps(scored.rows["edges"])[f"{file}:reach"]
    assert values[0] == values[12]
    guided = {**GUIDED, "score": {"name": f"{file}:reach", "power": 2.0}}
    assert execute(run(guided), tmp_path / "guided").provenance_extra["source_fingerprint"]
    file.write_text("def reach(nodes, source):\n    return 1 / 0\n")
    with pytest.raises(UserError, match="fails in line 2: ZeroDivisionError"):
        execute(run({**SCORE, "scores": [f"{file}:reach"]}), tmp_path / "broken")
