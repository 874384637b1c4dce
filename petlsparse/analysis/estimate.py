"""How long a run will take, from finished runs that are like it."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from petlsparse.analysis.rows import Record
from petlsparse.recipe.schema import Run

_ALIKE = (
    "study",
    "backbone_name",
    "backbone_image_size",
    "network_name",
    "network_widths",
    "network_dropout",
    "data_name",
    "data_train_examples",
    "data_image_size",
    "data_augment",
    "data_fit",
    "training_duration",
    "training_batch_size",
    "training_evaluate_every",
    "training_precision",
    "training_deterministic",
)


def estimated_seconds(settings: Mapping[str, Any], device: str, runs: Iterable[Record]) -> float | None:
    """Median wall seconds of the done runs that share model, data, kind and length of training and device type.

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


def expected_seconds(runs: Iterable[Run], device: str, recorded: Sequence[Record]) -> dict[str, float]:
    """`estimated_seconds` of every run by its id; of none if any is unknown, for then they cannot be compared."""
    by_arm: dict[tuple[Any, ...], float | None] = {}
    expected: dict[str, float] = {}
    for run in runs:
        settings = {name: value for name, value in run.flat().items() if name != "seed"}
        arm = tuple(settings.items())
        if arm not in by_arm:
            by_arm[arm] = estimated_seconds(settings, device, recorded)
        seconds = by_arm[arm]
        if seconds is None:
            return {}
        expected[run.run_id] = seconds
    return expected
