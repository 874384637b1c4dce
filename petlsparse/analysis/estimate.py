"""How long a run will take, from finished runs that are like it."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from petlsparse.analysis.rows import Record

_ALIKE = (
    "study",
    "backbone_name",
    "network_name",
    "data_name",
    "data_train_examples",
    "data_image_size",
    "training_duration",
    "training_batch_size",
)


def estimated_seconds(settings: Mapping[str, Any], device: str, runs: Iterable[Record]) -> float | None:
    """Median wall seconds of the done runs that share model, data, duration, batch size and device type.

    Of these, runs of the very same method count alone if there are any, then runs of a method of the same kind.

    Args:
        settings: the settings of the run to come, as columns (`Run.flat()`).
        device: "cpu", "cuda" or "cuda:N".
        runs: rows of the `runs` table.

    Returns:
        None when no run is comparable: better unknown than made up.
    """
    alike = [
        run
        for run in runs
        if run["status"] == "done"
        and str(run.get("device")).partition(":")[0] == device.partition(":")[0]
        and all(run.get(name) == settings.get(name) for name in _ALIKE)
    ]
    method = [name for name in settings if name.startswith("method_")]
    for shared in (method, ["method_kind"], []):
        seconds = [run["wall_seconds"] for run in alike if all(run.get(name) == settings[name] for name in shared)]
        if seconds:
            return float(median(seconds))
    return None
