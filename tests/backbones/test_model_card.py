"""The model card of vit-micro says what the bundled file and the stored results say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from petlsparse.analysis.statistics import summarise
from petlsparse.backbones import load_backbone

BUNDLED = Path(__file__).parents[2] / "petlsparse" / "backbones" / "bundled"
CARD = (BUNDLED / "vit-micro.md").read_text()
RESULTS = Path(__file__).parents[2] / "results" / "reference" / "vit-micro-transfer" / "runs.parquet"


def test_the_card_names_the_bundled_file() -> None:
    content = (BUNDLED / "vit-micro.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() in CARD
    assert f"{len(content):,} bytes" in CARD


def test_the_card_counts_nodes_and_parameters() -> None:
    stream = load_backbone("vit-micro")
    assert f"n = {stream.nodes} nodes" in CARD
    assert f"{sum(p.numel() for p in stream.parameters()):,} without head" in CARD


@pytest.mark.parametrize("task", ["sprites-location", "sprites-orientation", "shapes-count", "digits"])
def test_the_cards_table_is_that_of_the_stored_runs(task: str) -> None:
    runs = pd.read_parquet(RESULTS)
    runs = runs[runs.data_name == task]
    columns = [
        runs[runs.method_kind == "linear-probe"],
        runs[(runs.method_kind == "adapters") & runs.backbone_pretrained],
        runs[(runs.method_kind == "adapters") & ~runs.backbone_pretrained.astype(bool)],
        runs[runs.method_kind == "full-finetuning"],
    ]
    row = next(line for line in CARD.splitlines() if line.startswith(f"| {task} |"))
    for cell, column in zip(row.strip("| ").split(" | ")[2:], columns, strict=True):
        summary = summarise(column.test_accuracy.tolist())
        assert summary.n == 3
        mean, half = (float(number) for number in cell.split(" ± "))
        assert summary.mean == pytest.approx(mean, abs=0.051)
        assert (summary.high - summary.low) / 2 == pytest.approx(half, abs=0.051)


@pytest.mark.parametrize("task", ["sprites-location", "sprites-orientation", "shapes-count", "digits"])
def test_pre_training_transfers_to_every_task(task: str) -> None:
    """Every adapted run beats every linear probe and every run in the network with random weights."""
    runs = pd.read_parquet(RESULTS)
    runs = runs[runs.data_name == task]
    adapted = runs[(runs.method_kind == "adapters") & runs.backbone_pretrained].test_accuracy
    probed = runs[runs.method_kind == "linear-probe"].test_accuracy
    control = runs[(runs.method_kind == "adapters") & ~runs.backbone_pretrained.astype(bool)].test_accuracy
    chance = {"shapes-count": 12.5, "digits": 10.0}.get(task, 6.25)
    assert adapted.min() > max(probed.max(), control.max())
    assert probed.min() > 2 * chance
