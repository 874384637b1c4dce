"""Every how-to page, done as it says, comes to what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

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
