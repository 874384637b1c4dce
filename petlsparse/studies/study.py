"""What makes a study one: how its runs become what the training loop trains, alone or as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from petlsparse.cohorts.models import Stack, StackedModels
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run
from petlsparse.studies.assembly import Assembly
from petlsparse.studies.execution import execute
from petlsparse.tracking.progress import Progress
from petlsparse.training.hooks import Hooks, PerMemberHooks
from petlsparse.training.method import Method
from petlsparse.training.result import RunResult


@dataclass(frozen=True)
class Study:
    """The functions that a study declares, in `studies.STUDIES` by its name."""

    assemble: Callable[[Sequence[Run], torch.device, Execution, Sequence[Mapping[str, str]]], list[Assembly]]
    """(runs, device, execution, runtime choices of their checkpoints) -> assemblies, with one set of loaders or none.
    Of several runs, to be trained as one, data and model settings are equal."""
    check_method: Callable[[Any, Any], None]
    """(settings of a method, model) -> UserError if the method asks for what the model does not have."""
    plain_method: Any
    """Settings of a method that asks nothing of the model."""
    model: Callable[[Run], Hashable]
    """The settings of a run's model: what is loaded once for all methods on the same data."""
    without_weights: Callable[[Run], Run] = lambda run: run
    """A run whose model is the same but needs no weights from elsewhere."""
    shares_loaders: bool = False
    """Whether the loaders of runs trained as one hold more, the more runs there are."""
    compute: Callable[[Run, Assembly, torch.device, Callable[[Progress], None]], RunResult | None] = lambda *_: None
    """(run, its assembly, device, progress) -> the result of a run that trains nothing; None of one that trains."""
    stack: Callable[[Sequence[nn.Module]], Stack] = StackedModels
    """Their models as one."""
    hooks: Callable[[Sequence[Method], Stack], Hooks] = lambda methods, _: PerMemberHooks(methods)
    """Their methods as one."""

    def execute(
        self,
        runs: Sequence[Run],
        folders: Sequence[Path],
        *,
        device: str,
        threads: int,
        execution: Execution,
        output: Output,
        on_start: Callable[[Sequence[int]], None],
        progress: Callable[[int, Progress], None],
        done: Callable[[int, RunResult], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Train runs on a device ("cpu", "cuda:0") with so many threads of the CPU; see `execution.execute`."""
        torch.set_num_threads(threads)
        execute(
            self,
            runs,
            folders,
            device=torch.device(device),
            execution=execution,
            output=output,
            on_start=on_start,
            progress=progress,
            done=done,
            should_stop=should_stop,
        )
