"""Several runs of a study as one: assembled, sized to the memory there is, trained, each with a result of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import PLAIN, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies.cohort_size import fitting
from petlsparse.studies.company import Company, Member, members_of
from petlsparse.studies.execution import Assembler, Assembly, arithmetic_of, concluded, set_aside
from petlsparse.studies.execution import execute as execute_by_itself
from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import BrokenCheckpoint, manner_of
from petlsparse.training.cohort import CohortTraining
from petlsparse.training.memory import reset_peak_memory
from petlsparse.training.result import RunResult
from petlsparse.training.stack import Incompatible
from petlsparse.training.timer import Timer


def execute(company: Company, run: Run, *, run_dir: Path, device: torch.device, **circumstances: Any) -> RunResult:
    """One run, as `execute_together` would train it if it could have had company, so that its result is the same.

    A run that was begun goes on as it was begun. Arguments as of `studies.execution.execute`.
    """
    begun = manner_of(run_dir / "checkpoint.safetensors", run.run_id)
    execution = circumstances.setdefault("execution", PLAIN)
    if "cohort" in begun if begun is not None else company.key(run, device.type, execution) is not None:
        results: list[RunResult] = []
        together = circumstances | {
            "progress": lambda _, progress: circumstances["progress"](progress),
            "done": lambda _, result: results.append(result),
        }
        with suppress(Incompatible):
            execute_together(company, [run], run_dirs=[run_dir], device=device, **together)
            return results[0] if results else RunResult("interrupted")
    return execute_by_itself(_assembler(company), run, run_dir=run_dir, device=device, **circumstances)


def _assembler(company: Company) -> Assembler:
    def assemble(
        run: Run, device: torch.device, execution: Execution, earlier: Mapping[str, str] = MappingProxyType({})
    ) -> Assembly:
        return company.assemble([run], device, execution, [earlier])[0]

    return assemble


def execute_together(
    company: Company,
    runs: Sequence[Run],
    *,
    run_dirs: Sequence[Path],
    device: torch.device,
    progress: Callable[[int, Progress], None],
    done: Callable[[int, RunResult], None],
    checkpoint_every: Duration,
    keep: str,
    should_stop: Callable[[], bool],
    execution: Execution,
) -> None:
    """Train runs as one, or as a few cohorts one after another if they do not fit into memory.

    A run that was begun so goes on so, by itself if need be: on the CPU its numbers do not depend on its company.

    Args:
        company: of the study.
        runs: alike in all that the study's cohort key asks for.
        run_dirs: their folders, with checkpoints of the same step or with none.
        device: where everything happens.
        progress: told the index of a run, and how far it has come and all others with it; of an evaluation, of each.
        done: told the index of a run and its result. Runs that were not begun when asked to stop have none.
        checkpoint_every: time between checkpoints.
        keep: which weights to keep.
        should_stop: asked after every step.
        execution: choices of the command.

    Raises:
        Incompatible: they cannot be trained as one.
    """
    members = partial(
        members_of, company, device=device, execution=execution, checkpoint_every=checkpoint_every, progress=progress
    )
    everyone = [*enumerate(zip(runs, run_dirs, strict=True))]
    timer = Timer()
    with arithmetic_of(runs[0], device):
        size = fitting(company, runs, device, execution)
        for part in even_parts(everyone, size):
            if should_stop():
                return
            reset_peak_memory(device)
            _train(company, _resumed(partial(members, part)), done, keep=keep, should_stop=should_stop, timer=timer)


def _resumed(begin: Callable[[], list[Member]]) -> list[Member]:
    """Members where their checkpoints stand; what cannot be used is set aside, and they begin again."""
    members = begin()
    for member in members:
        try:
            member.training.resume()
        except BrokenCheckpoint as error:
            assert member.training.checkpoint is not None
            member.warnings.append(set_aside(member.training.checkpoint, error))
    if not any(member.warnings for member in members):
        return members
    again = _resumed(begin)
    return [replace(new, warnings=old.warnings) for new, old in zip(again, members, strict=True)]


def _train(
    company: Company,
    members: Sequence[Member],
    done: Callable[[int, RunResult], None],
    *,
    keep: str,
    should_stop: Callable[[], bool],
    timer: Timer,
) -> None:
    def conclude(k: int, result: RunResult) -> None:
        one = members[k]
        whole = concluded(
            one.run, one.assembly, one.training, result, run_dir=one.folder, keep=keep, warnings=one.warnings
        )
        done(one.index, replace(whole, provenance_extra={**whole.provenance_extra, "cohort": len(members)}))

    CohortTraining(
        [member.training for member in members],
        stack=company.stack,
        method=company.method,
        done=conclude,
        should_stop=should_stop,
        warn=members[0].warnings.append,
        timer=timer,
    ).run()


def even_parts(things: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Consecutive parts, as few as possible of at most `size` things, of almost equal length."""
    count = -(-len(things) // size)
    return [things[len(things) * i // count : len(things) * (i + 1) // count] for i in range(count)]
