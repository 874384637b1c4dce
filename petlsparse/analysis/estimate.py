"""How long a run will take, from finished runs that are like it."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from petlsparse.analysis.runs import Runs
from petlsparse.recipe.schema import Run

Key = tuple[Any, ...]

_COMPARABLE = (
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
    "data_train_on",
    "training_duration",
    "training_batch_size",
    "training_evaluate_every",
    "training_precision",
    "training_deterministic",
)


class Estimates:
    """Median wall seconds of the done runs that share model, data, kind and length of training and device type.

    Of these, runs of the very same method count alone if there are any, then runs of a method of the same kind. The
    runs are sorted once, however many estimates are asked for.
    """

    def __init__(self, runs: Runs, device: str) -> None:
        """From recorded runs, for a device "cpu", "cuda" or "cuda:N"."""
        kind = device.partition(":")[0]
        done = runs.where("status", ("done",))
        on_device = [n for n, name in enumerate(done["device"]) if str(name).partition(":")[0] == kind]
        self._by_key = done.take(on_device).split_by(*_COMPARABLE)
        self._seconds: dict[tuple[Key, tuple[str, ...]], dict[Key, list[float]]] = {}

    def seconds(self, settings: Mapping[str, Any]) -> float | None:
        """Of a run with these settings, as columns (`Run.flat()`).

        None when no run is comparable: better unknown than made up.
        """
        method = tuple(name for name in settings if name.startswith("method_"))
        for shared in (method, ("method_kind",), ()):
            if seconds := self._shared(_key(settings, _COMPARABLE), shared).get(_key(settings, shared)):
                return float(median(seconds))
        return None

    def _shared(self, key: Key, names: tuple[str, ...]) -> dict[Key, list[float]]:
        """Seconds of the runs of that key, by what they have in the named columns."""
        if (key, names) not in self._seconds:
            found = self._seconds[key, names] = {}
            runs = self._by_key.get(key, Runs.of(()))
            for seconds, *values in zip(runs["wall_seconds"], *(runs[name] for name in names), strict=True):
                if seconds is not None:
                    found.setdefault(tuple(values), []).append(seconds)
        return self._seconds[key, names]


def _key(values: Mapping[str, Any], names: Iterable[str]) -> Key:
    return tuple(values.get(name) for name in names)


def expected_seconds(runs: Iterable[Run], device: str, recorded: Runs) -> dict[str, float]:
    """The estimate of every run by its id; of none if any is unknown, for then they cannot be compared."""
    estimates = Estimates(recorded, device)
    by_configuration: dict[object, float | None] = {}
    expected: dict[str, float] = {}
    for run in runs:
        if run.configuration not in by_configuration:
            by_configuration[run.configuration] = estimates.seconds(run.flat())
        seconds = by_configuration[run.configuration]
        if seconds is None:
            return {}
        expected[run.run_id] = seconds
    return expected
