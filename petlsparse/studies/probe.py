"""How long a run would take, from a few real steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run
from petlsparse.studies.assembly import total_steps
from petlsparse.studies.members import build_member
from petlsparse.training.loop import Loop
from petlsparse.training.loop_settings import steps_per_epoch
from petlsparse.training.strategy import SingleStrategy

if TYPE_CHECKING:
    from petlsparse.studies.study import Study


def extrapolated_seconds(
    study: Study, run: Run, device: torch.device, execution: Execution = INSPECT_ONLY, steps: int = 5
) -> float:
    """The run's `wall_seconds`, extrapolated from its start, a few real steps and one validation pass."""
    clock = time.perf_counter()
    (assembly,) = study.assemble([run], device, execution, [{}])
    examples = len(assembly.dataset.train)
    brief = run.training.model_copy(update={"duration": Duration(count=steps + 1, unit="steps")})
    member = build_member(run.model_copy(update={"training": brief}), assembly, device, output=Output())
    loop = Loop(SingleStrategy(member), done=lambda *_: None)
    start_seconds = time.perf_counter() - clock
    for epoch, chosen in loop.batches():
        loop.step(epoch, chosen)
        if member.state.step == 1:  # the first step pays for allocations and kernel choice
            member.loss_sum.item()
            clock = time.perf_counter()
    member.loss_sum.item()  # waits for the device
    step_seconds = (time.perf_counter() - clock) / steps
    clock = time.perf_counter()
    loop.evaluate(epoch=1, members=[0])
    evaluation_seconds = time.perf_counter() - clock
    every = run.training.evaluate_every.steps(steps_per_epoch(examples, run.training.batch_size))
    full = total_steps(run, examples)
    return start_seconds + step_seconds * full + evaluation_seconds * -(-full // every)
