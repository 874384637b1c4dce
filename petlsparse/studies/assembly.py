"""A run made concrete: what both studies share of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from petlsparse.data.loading import load_data
from petlsparse.data.types import Dataset
from petlsparse.errors import UserError
from petlsparse.recipe.schema import Data, Run
from petlsparse.registry import is_file, source_fingerprint
from petlsparse.settings import Choice
from petlsparse.training.arithmetic import missing_arithmetic, reference_arithmetic
from petlsparse.training.loaders import Loader
from petlsparse.training.loop_settings import examples_seen, steps_per_epoch
from petlsparse.training.method import Method
from petlsparse.training.parameter_groups import ParameterRole
from petlsparse.training.result import Row


@dataclass(frozen=True)
class Assembly:
    """A run made concrete: the method to train, its data, and what it costs."""

    method: Method
    dataset: Dataset
    cost: dict[str, float]
    """trainable_parameters, total_parameters, active_parameters, inference_flops (per example), training_flops"""
    roles: Mapping[nn.Parameter, ParameterRole]
    """What the parameters are that the method trains, for optimizers that treat them differently."""
    pixel_mean: tuple[float, ...] | None = None
    pixel_std: tuple[float, ...] | None = None
    """What the network expects pixels to be normalised with; None means the data set's own."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Fingerprints of what the result rests on besides settings and data, by column of the `runs` table."""
    runtime_choices: dict[str, str] = field(default_factory=dict)
    """How the run is executed, by column of the `runs` table: what may differ between machines."""
    derived: dict[str, Any] = field(default_factory=dict)
    """Columns of the `runs` table that follow from the settings: edges that were drawn."""
    loaders: tuple[Loader, Loader] | None = None
    """Of training and validation, in place of the images: what a frozen network makes of them, or what is shared."""
    export: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    """From trained tensors as the model holds them to those of the ordinary network, for weights that are kept."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name -> text of files that belong to weights that are kept."""
    final_rows: Callable[[], dict[str, list[Row]]] = dict
    """Rows to record once training is over, by table."""
    warnings: Sequence[str] = ()
    """What went wrong without harm."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of all that the result rests on besides settings, by column of the `runs` table."""
        data = self.dataset
        return {"data_fingerprint": data.fingerprint, "test_fingerprint": data.test_fingerprint, **self.provenance}


def source_fingerprints(run: Run) -> dict[str, str]:
    """Of the user's own files that the settings name, by column of the `runs` table; empty if they name none."""
    values = [*dict(run).values(), *dict(run.method).values()]
    tables = [table for value in values for table in (value if isinstance(value, tuple) else (value,))]
    files = [table.name for table in tables if isinstance(table, Choice) and is_file(table.name)]
    return {"source_fingerprint": source_fingerprint(files)} if files else {}


def total_steps(run: Run, examples: int) -> int:
    """Optimizer steps of the whole run."""
    return run.training.duration.steps(steps_per_epoch(examples, run.training.batch_size))


def examples_of(run: Run, dataset: Dataset) -> int:
    """Training examples the whole run looks at."""
    examples = len(dataset.train)
    return examples_seen(total_steps(run, examples), examples, run.training.batch_size)


def arithmetic_of(run: Run, device: torch.device) -> AbstractContextManager[None]:
    """A context that a run is to be assembled and trained in. Raises UserError if the device has no such arithmetic."""
    if problem := missing_arithmetic(run.training.precision, device.type):
        raise UserError(problem)
    return reference_arithmetic(deterministic=run.training.deterministic, tf32=run.training.precision == "tf32")


@lru_cache(maxsize=2)
def _loaded(place: tuple[str | None, str], settings: tuple[tuple[str, Any], ...]) -> Dataset:
    return load_data(**dict(settings))


def shared_data(data: Data, **imposed: Any) -> Dataset:
    """The data set of these settings, loaded once for the many runs that a process executes on it.

    `imposed` are arguments of `load_data` that the model decides.
    """
    settings = data.model_dump(exclude={"augment"}) | imposed  # what varies images does so in training
    place = os.environ.get("PETLSPARSE_DATA"), str(Path.cwd())
    return _loaded(place, tuple(settings.items()))


def clear_data_cache() -> None:
    """Read the data anew when they are next asked for: a process may execute several commands."""
    _loaded.cache_clear()
