"""Runs whose criterion keeps a statistic: the same masks however they are trained, and after every interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.recipe.execution import Execution
from petlsparse.recipe.schema import Run
from petlsparse.training.checkpoint import load_checkpoint
from tests.studies.settings import SPARSE, execute, lasting, make

WAYS = {"masked": Execution(backend="masked"), "csr": Execution(backend="csr"), "cohort": Execution(cohort="auto")}
OWN = """
from functools import partial
from petlsparse.sparsity.criteria import Criterion, Statistic

def sums(total, active, *, power):
    return total + active.gradient.abs() ** power

@partial(Criterion, reads_gradient=True, statistics={"total": Statistic(sums)})
def accumulated(active, *, power: float = 1.0):
    return active.statistics["total"]
"""
CRITERIA = ({"name": "ema-magnitude", "decay": 0.7}, {"name": "mine.py:accumulated", "power": 2.0})


def run_of(criterion: dict[str, Any]) -> Run:
    method = {**SPARSE["method"], "criterion": criterion, "growth": "gradient", "update_period": 3}
    return make(SPARSE, method=method, training={"batch_size": 64, "duration": "12 steps"})


def trained(run: Run, folder: Path, way: str, stop_after: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The result, and which of the last weights are active; by way of a checkpoint if it is to stop."""
    if stop_after is not None:
        calls = iter([False] * (stop_after - 1) + [True])
        assert execute(run, folder, stop=lambda: next(calls), execution=WAYS[way]).status == "interrupted"
        tensors, _ = load_checkpoint(folder / "checkpoint.safetensors")
        kept = {name: tensor.dtype for name, tensor in tensors.items() if name.startswith("method/statistic.")}
        assert len(kept) == 3
        assert set(kept.values()) == {torch.float32}
    result = lasting(execute(run, folder, keep="last", execution=WAYS[way]))
    weights = load_file(folder / "last.safetensors")
    return result, {name: weight != 0 for name, weight in weights.items() if weight.ndim == 2}


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda table: table["name"])
def test_masks_are_the_same_masked_truly_sparse_and_in_a_cohort_whole_and_resumed(
    criterion: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN)
    run = run_of(criterion)
    rows, masks = [], []
    for way in WAYS:
        whole, active = trained(run, tmp_path / way, way)
        for stop in (5, 6):  # before an update, and right after it
            again, same = trained(run, tmp_path / f"{way}{stop}", way, stop)
            assert again == whole
            assert all(torch.equal(active[name], same[name]) for name in active)
        rows.append(whole["rows"]["topology"])
        masks.append(active)
    assert rows[0] == rows[1] == rows[2]
    assert all(torch.equal(masks[0][name], other[name]) for other in masks[1:] for name in masks[0])
    assert sum(row["pruned"] for row in rows[0]) > 500
