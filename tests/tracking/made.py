"""Records and rows made by hand."""

from typing import Any

from petlsparse.tracking.record import Record

A, B, C = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


def record(run_id: str = A, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "run_id": run_id,
        "study": "dst-sweep",
        "recipe": "smoke",
        "status": "done",
        "settings": {"study": "dst-sweep", "data": {"name": "digits"}, "method": {"density": 0.1}, "seed": 1},
        "metrics": {"test_accuracy": 90.0, "steps": 20},
        "history": [[10, 1, "val", "loss", 0.5], [20, 2, "val", "loss", 0.25]],
        "cost": {"wall_seconds": 1.5, "total_parameters": 100},
        "provenance": {"started": "2026-01-01T00:00:00.000+00:00", "threads": 1},
    }
    return Record(**fields | changes)


def topology(*steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "layer": "0.weight", "density": 0.1, "active": 10, "pruned": 2} for step in steps]
