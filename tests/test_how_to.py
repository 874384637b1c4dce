"""Every how-to page, and the recipe of dst-sweep's, done as it says, comes to what it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from petlsparse.tracking.compaction import read_columns
from tests.pages import REPOSITORY, follow

PAGES = REPOSITORY / "docs" / "how-to"


def test_a_metric_is_one_file_and_two_lines(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-metric.md", tmp_path)
    assert "test bal. acc. %" in printed
    assert "Test balanced accuracy" in printed
    assert "| `val_balanced_accuracy_best` | float64 | % |" in printed
    runs = pd.read_parquet(tmp_path / "results" / "mine" / "runs.parquet")
    assert len(runs) == 8
    for column in ("test_{}", "test_{}_last", "val_{}_best", "val_{}_last"):
        assert runs[column.format("balanced_accuracy")].between(0, 100).all()
    history = pd.read_parquet(tmp_path / "results" / "mine" / "metrics.parquet")
    of_val = history[(history["split"] == "val") & (history["metric"] == "balanced_accuracy")]
    best = of_val.groupby("run_id")["value"].max()
    assert best.to_dict() == pytest.approx(runs.set_index("run_id")["val_balanced_accuracy_best"].to_dict())


def test_a_search_is_one_file_and_one_line(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-search.md", tmp_path)
    assert re.search(r"\d runs: 2 done, 1 pending", printed)
    runs = pd.read_parquet(tmp_path / "results" / "mine" / "runs.parquet")
    *tried, final = runs.sort_values("seed", kind="stable").to_dict("records")
    assert 2 <= len(tried) <= 3
    assert [run["optimizer_lr"] for run in tried] == [0.001 * 2**at for at in range(len(tried))]
    assert {run["role"] for run in tried} == {"candidate"}
    best = max(tried, key=lambda run: run["val_accuracy_best"])
    assert (final["role"], final["seed"], final["optimizer_lr"]) == ("final", 2, best["optimizer_lr"])


def runs_of(folder: Path) -> pd.DataFrame:
    """The runs of the page's recipe, all done."""
    runs = pd.read_parquet(folder / "results" / "mine" / "runs.parquet")
    assert set(runs["status"]) == {"done"}
    return runs


def test_a_growth_rule_is_one_function_and_one_line(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-growth-rule.md", tmp_path)
    assert re.search(r"dst magnitude/sampled d=0.1 growth_power=2 ", printed)
    runs = runs_of(tmp_path)
    sampled = runs[runs["method_growth"] == "sampled"]
    assert list(sampled["method_growth_power"]) == [0.0, 2.0]
    assert sampled["training_flops"].nunique() == 1
    assert set(runs["training_flops"]) == set(sampled["training_flops"])  # "gradient" reads it as well
    topology = pd.read_parquet(tmp_path / "results" / "mine" / "topology.parquet")
    grown = topology[topology["step"] > 0].groupby("run_id")["grown"].sum()
    assert (grown == grown.iloc[0]).all()
    assert grown.iloc[0] > 0


def test_a_placement_is_one_function_and_one_line(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-placement.md", tmp_path)
    assert re.search(r"strided r=8 placement_stride=4 +1→2 5→6 9→10 ", printed)
    runs = runs_of(tmp_path).set_index("method_placement_stride", drop=False)
    edges = {4: [[1, 2], [5, 6], [9, 10]], 6: [[1, 2], [7, 8]]}
    assert {stride: json.loads(runs.loc[stride, "edges"]) for stride in edges} == edges
    per_adapter = 2 * 96 * 8 + 2 * 96 + 1  # down and up, the norm, the scale
    head = 96 * 10 + 10
    assert {stride: runs.loc[stride, "trainable_parameters"] for stride in edges} == {
        stride: len(each) * per_adapter + head for stride, each in edges.items()
    }


def test_a_score_is_one_function_and_one_line(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-score.md", tmp_path)
    assert "alignment of vit-micro on digits" in printed
    assert "alignment(power=2.0) of vit-micro on digits" in printed
    assert "top-2 by alignment r=8" in printed
    values = read_columns(tmp_path / "results" / "mine-scores", "edges")
    plain, squared = (
        [value for value, name in zip(values["value"], values["score_name"], strict=True) if name == wanted]
        for wanted in ("alignment", "alignment(power=2.0)")
    )
    assert len(plain) == 169
    assert all(0 < value < 1 for value in plain)
    assert squared == pytest.approx([value**2 for value in plain])


def test_a_network_is_one_function_and_one_line(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-network.md", tmp_path)
    assert "dst magnitude/gradient d=0.2" in printed
    runs = runs_of(tmp_path)
    weights = 8 * 9 + 16 * 8 * 9 + 10 * 16 * 4
    biases, norms = 8 + 16 + 10, 2 * (8 + 16)
    dense = runs[runs["method_kind"] == "dense"].set_index("network_norm")
    assert dense["total_parameters"].to_dict() == {True: weights + biases + norms, False: weights + biases}
    sparse = runs[runs["method_kind"] == "dst"].iloc[0]
    assert sparse["active_parameters"] - biases - norms == pytest.approx(0.2 * weights, abs=2)
    assert dense["inference_flops"].to_dict() == dict.fromkeys(
        [True, False], 2 * (8 * 9 * 16 + 16 * 8 * 9 * 4 + 10 * 16 * 4)
    )


def test_a_data_set_is_one_function_and_one_line(tmp_path: Path) -> None:
    printed = follow(PAGES / "add-a-data-set.md", tmp_path)
    assert re.search(r"stripes +generated +200 +80 +200 +4 +1×12×12", printed)
    assert "stripes: 200 training, 80 validation and 200 test images, 4 classes" in printed
    runs = runs_of(tmp_path)
    assert set(runs["data_name"]) == {"stripes"}
    assert runs["data_fingerprint"].nunique() == runs["test_fingerprint"].nunique() == 1
    assert (runs["classes"] == 4).all()


def test_the_recipe_of_the_page_on_dst_sweep_updates_the_topology_as_often_as_it_says(tmp_path: Path) -> None:
    printed = follow(REPOSITORY / "docs" / "dst-sweep.md", tmp_path)
    assert "dst magnitude/gradient d=0.1" in printed
    runs = runs_of(tmp_path)
    assert (set(runs["examples_train"]), set(runs["steps"]), len(runs)) == ({800}, {10 * 13}, 4)
    topology = pd.read_parquet(tmp_path / "results" / "mine" / "topology.parquet")
    assert [*topology.loc[topology["grown"] > 0, "step"].unique()] == [25, 50, 75, 100, 125]
