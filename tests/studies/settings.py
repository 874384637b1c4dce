"""Settings of small, complete runs of both studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run, validate_run
from petlsparse.registry import resolve
from petlsparse.studies import STUDIES
from petlsparse.training.result import RunResult

SPARSE: dict[str, Any] = {
    "study": "dst-sweep",
    "data": {"name": "digits"},
    "network": {"name": "mlp", "widths": [40, 20]},
    "method": {"kind": "dst", "density": 0.2, "criterion": "magnitude", "growth": "random", "update_period": 5},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "schedule": {"name": "step"},
    "training": {"batch_size": 64, "duration": "3 epochs"},
    "seed": 1,
}

ADAPTED: dict[str, Any] = {
    "study": "adapter-search",
    "data": {"name": "digits", "train_examples": 100},
    "backbone": {"name": "vit-micro", "pretrained": False, "image_size": 16},
    "method": {"kind": "adapters", "placement": {"name": "explicit", "edges": [[8, 2], [3, 4], [5, 9]]}},
    "optimizer": {"name": "adamw", "lr": 3e-3},
    "schedule": {"name": "cosine", "warmup": "1 epoch"},
    "training": {"batch_size": 25, "duration": "2 epochs"},
    "seed": 1,
}

TIMES = {"wall_seconds", "train_seconds", "examples_per_second", "peak_memory_bytes"}


def make(base: dict[str, Any], **tables: Any) -> Run:
    """A run of `base` with some tables replaced."""
    return validate_run({**base, **tables})


def execute(
    run: Run,
    folder: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    keep: str = "none",
    every: str = "1 epoch",
    execution: Execution = INSPECT_ONLY,
    device: str = "cpu",
) -> RunResult:
    folder.mkdir(parents=True, exist_ok=True)
    results: list[RunResult] = []
    resolve(STUDIES, run.study, "study").execute(
        [run],
        [folder],
        device=device,
        threads=torch.get_num_threads(),
        execution=execution,
        output=Output(save_weights=keep, checkpoint_every=every, checkpoint_seconds=0.0),
        on_start=lambda _: None,
        progress=lambda *_: None,
        done=lambda _, result: results.append(result),
        should_stop=stop,
    )
    return results[0]


def lasting(result: RunResult) -> dict[str, Any]:
    """A result without what may differ between equal runs."""
    cost = {name: value for name, value in result.cost.items() if name not in TIMES}
    return {
        "status": result.status,
        "metrics": result.metrics,
        "history": [tuple(row) for row in result.history],
        "rows": result.rows,
        "cost": cost,
    }
