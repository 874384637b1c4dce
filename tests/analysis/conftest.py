"""Hand-made rows of the `runs` table."""

from collections.abc import Callable
from typing import Any

import pytest

Record = dict[str, Any]


@pytest.fixture
def record() -> Callable[..., Record]:
    """A function that makes the row of a finished dst-sweep run, changed by keyword."""

    def make(accuracy: float | None = 90.0, **changes: Any) -> Record:
        row: Record = {
            "run_id": f"{abs(hash(tuple(sorted(changes.items())))):012x}"[:12],
            "study": "dst-sweep",
            "status": "done",
            "seed": 1,
            "data_name": "digits",
            "network_name": "mlp",
            "method_kind": "dst",
            "method_density": 0.1,
            "method_criterion": "magnitude",
            "method_growth": "random",
            "method_update_period": 100,
            "optimizer_lr": 0.1,
            "training_duration": "5 epochs",
            "test_accuracy": accuracy,
            "test_loss": 0.5,
            "val_accuracy_best": accuracy,
            "trainable_parameters": 1000,
            "active_parameters": 100,
            "total_parameters": 1000,
            "training_flops": 2.0e9,
            "inference_flops": 1.0e3,
            "wall_seconds": 10.0,
            "peak_memory_bytes": 512 * 1024**2,
        }
        return row | changes

    return make
