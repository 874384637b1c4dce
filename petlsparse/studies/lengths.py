"""Lengths that only make sense beside that of the training, known once the data are: warm-up, topology updates."""

from __future__ import annotations

import torch

from petlsparse.errors import Problem
from petlsparse.recipe.methods import DstSettings
from petlsparse.recipe.schema import Run
from petlsparse.studies.dst_sweep import topology_updates
from petlsparse.training.loop_settings import steps_per_epoch


def length_problems(run: Run, examples: int) -> list[Problem]:
    """Problems of a run over so many examples: a warm-up that outlasts it, topology updates that never come."""
    epoch_steps = steps_per_epoch(examples, run.training.batch_size)
    steps = run.training.duration.steps(epoch_steps)
    problems = []
    warmup = run.schedule.warmup.steps(epoch_steps)
    if warmup > steps:
        message = f"the warm-up of {warmup:,} steps is longer than the training of {steps:,}"
        problems.append(Problem(message, "schedule.warmup", str(run.schedule.warmup)))
    if isinstance(run.method, DstSettings) and not topology_updates(run.method, steps, torch.Generator()).count:
        message = (
            f"no topology update falls into the {steps:,} steps of training, so that this is static sparse training; "
            'shorten the period, or use kind = "static"'
        )
        problems.append(Problem(message, "method.update_period", str(run.method.update_period)))
    return problems
