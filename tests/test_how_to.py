"""Every how-to page, done as it says, comes to what it promises."""

from __future__ import annotations

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
