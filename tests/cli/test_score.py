"""`petlsparse score`: maps of scores on the recipe's data and backbones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from petlsparse.analysis.score_maps import heat_map, rank_correlation
from petlsparse.recipe.scoring import to_be_scored
from petlsparse.tracking.compaction import read_columns

from .conftest import Cli
from .test_user_errors import assert_told

TOML = """\
study = "adapter-search"
seeds = 2
[run]
data = { name = "digits", train_examples = 60 }
backbone = { name = "vit-micro", image_size = 16 }
optimizer = { name = "adamw", lr = 1e-3 }
training = { batch_size = 30, duration = "1 epoch" }
[grid]
"optimizer.lr" = [0.1, 0.01]
[[arms]]
method = { kind = "linear-probe" }
[[arms]]
method = { kind = "adapters", placement = "all-parallel" }
grid = { "method.rank" = [4, 8] }
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.toml"
    path.write_text(TOML)
    return path


def test_maps_are_printed_recorded_and_found_again(recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("score", "tiny.toml", "--score", "srank", "--score", "activation-norm", "--workers", "1")
    first = cli(*arguments)
    assert first.code == 0, first.err
    assert "2 runs to do" in first.err
    assert "srank of vit-micro on digits" in first.out
    assert "2 seeds, rank correlation between seeds" in " ".join(first.out.split())
    assert max(map(len, first.out.splitlines())) <= 120
    columns = read_columns(Path("results/tiny-scores"), "edges")
    assert len(columns["value"]) == 2 * 2 * 169
    again = cli(*arguments, "--json")
    assert "0 runs to do, 2 done before" in again.err
    srank, norm = json.loads(again.out)
    assert srank["score"] == "srank"
    best = srank["edges"][0]
    assert srank["values"][best[0]][best[1]] == max(map(max, srank["values"]))
    by_hand = [
        value
        for source, target, name, value in zip(
            *(columns[name] for name in ("source", "target", "score_name", "value")), strict=True
        )
        if (source, target, name) == (3, 4, "activation-norm")
    ]
    assert norm["values"][3][4] == pytest.approx(sum(by_hand) / 2)
    compared = cli("compare", "results/tiny-scores")
    assert compared.code == 0
    assert "score" not in compared.out


def test_an_unknown_score_is_told_with_the_nearest_name(recipe: Path, cli: Cli) -> None:
    assert_told(cli("score", "tiny.toml", "--score", "srnak"), "srnak", "did you mean srank?")


def test_only_recipes_of_adapter_search_can_be_scored(cli: Cli) -> None:
    assert_told(cli("score", "dst-smoke"), "dst-sweep")


def test_methods_and_what_varies_in_them_are_left_out() -> None:
    found = to_be_scored(
        {
            "study": "adapter-search",
            "grid": {"backbone.image_size": [16, 32], "optimizer.lr": [1, 2]},
            "zip": [{"method.rank": [1, 2], "seed": [1, 2]}],
            "exclude": [{"optimizer.lr": 1}, {"backbone.image_size": 16}],
            "run": {"method": {"kind": "linear-probe"}, "data": {"name": "digits"}},
            "arms": [
                {"method": {"kind": "linear-probe"}, "data": {"train_examples": 5}},
                {"method": {"kind": "lora"}, "data": {"train_examples": 5}, "optimizer": {"lr": 3}},
                {"method": {"kind": "lora"}, "grid": {"data.name": ["digits", "shapes-count"], "method.rank": [1]}},
            ],
        },
        ["page"],
    )
    method = {"kind": "score", "scores": ["page"]}
    assert found["arms"] == [
        {"data": {"train_examples": 5}, "method": method},
        {"grid": {"data.name": ["digits", "shapes-count"]}, "method": method},
    ]
    assert found["grid"] == {"backbone.image_size": [16, 32]}
    assert found["exclude"] == [{"backbone.image_size": 16}]
    assert "zip" not in found
    assert found["run"] == {"data": {"name": "digits"}}


def test_arms_that_score_are_left_as_they_are() -> None:
    arm = {"method": {"kind": "score", "scores": ["page"]}}
    assert to_be_scored({"arms": [{"method": {"kind": "lora"}}, arm]}, [])["arms"] == [arm]


def test_of_a_large_map_neighbours_are_pooled_until_it_fits() -> None:
    values = [[float(81 * i + j) for j in range(81)] for i in range(81)]
    shown = heat_map(values, 80)
    assert shown.pool == 3
    assert shown.labels == [str(i) for i in range(0, 81, 3)]
    assert shown.low == 2 * 81 + 2
    assert shown.high == 80 * 81 + 80
    assert shown.levels[0][0] == 0
    assert shown.levels[-1][-1] == 9
    assert heat_map(values[:25], 80).labels == [str(i) for i in range(25)]
    assert heat_map([[1.0]], 80).levels == [[0]]


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 5, 0], [3, 1, 4, 4, 0]) == pytest.approx(0.7631579, abs=1e-6)  # of mean ranks
