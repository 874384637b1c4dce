"""Several runs of a study as one: assembled, sized to the memory there is, trained, each with a result of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import PLAIN, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies.execution import Assembler, Assembly, arithmetic_of, concluded, prepare, set_aside
from petlsparse.studies.execution import execute as execute_by_itself
from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import BrokenCheckpoint, manner_of
from petlsparse.training.cohort import CohortTraining
from petlsparse.training.cohort_method import CohortMethod, OneByOne
from petlsparse.training.loop import Training
from petlsparse.training.memory import free_memory_bytes, peak_memory_bytes, reset_peak_memory, used_memory_bytes
from petlsparse.training.method import Method
from petlsparse.training.result import RunResult
from petlsparse.training.stack import Incompatible, Stack, StackedModels

SHARE_OF_MEMORY = 0.8
"""Of the free memory: what a cohort may take."""


@dataclass(frozen=True)
class Company:
    """How runs of a study become one."""

    key: Callable[[Run, str, Execution], Hashable | None]
    """(run, kind of device, execution) -> what runs that may be trained as one have in common, or None."""
    assemble: Callable[[Sequence[Run], torch.device, Execution, Sequence[Mapping[str, str]]], list[Assembly]]
    """(runs, device, execution, manner of each one's checkpoint) -> their assemblies, with one set of feeds, if any."""
    shares_feeds: bool = False
    """Whether the feeds hold more, the more runs there are."""
    stack: Callable[[Sequence[nn.Module]], Stack] = StackedModels
    method: Callable[[Sequence[Method], Stack], CohortMethod] = lambda methods, _: OneByOne(methods)


def execute(company: Company, run: Run, *, run_dir: Path, device: torch.device, **circumstances: Any) -> RunResult:
    """One run, as `execute_together` would train it if it could have had company, so that its result is the same.

    A run that was begun goes on as it was begun. Arguments as of `studies.execution.execute`.
    """
    begun = manner_of(run_dir / "checkpoint.safetensors")
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
        progress: told the index of a run, and how far it has come and all others with it.
        done: told the index of a run and its result. Runs that were not begun when asked to stop have none.
        checkpoint_every: time between checkpoints.
        keep: which weights to keep.
        should_stop: asked after every step.
        execution: choices of the command.

    Raises:
        Incompatible: they cannot be trained as one.
    """
    execution = replace(execution, backend="masked")  # members share rows of dense weights
    members = partial(
        _members, company, device=device, execution=execution, checkpoint_every=checkpoint_every, progress=progress
    )
    everyone = [*enumerate(zip(runs, run_dirs, strict=True))]
    with arithmetic_of(runs[0], device):
        size = fitting(company, runs, device, execution)
        for part in even_parts(everyone, size):
            if should_stop():
                return
            reset_peak_memory(device)
            _train(company, _resumed(partial(members, part)), done, keep=keep, should_stop=should_stop)


@dataclass
class _Member:
    """A run on its way."""

    index: int
    run: Run
    folder: Path
    assembly: Assembly
    training: Training
    warnings: list[str] = field(default_factory=list)


def _members(
    company: Company,
    part: Sequence[tuple[int, tuple[Run, Path | None]]],
    *,
    device: torch.device,
    execution: Execution,
    checkpoint_every: Duration | None = None,
    progress: Callable[[int, Progress], None] = lambda *_: None,
    beside: Sequence[Run] = (),
) -> list[_Member]:
    """Assembled and prepared, with one set of feeds for all, and for those `beside` them."""
    # What is stacked is masked, whatever the machine would choose for one run.
    execution = replace(execution, backend="masked")
    checkpoints = [folder and folder / "checkpoint.safetensors" for _, (_, folder) in part]
    earlier = [(checkpoint and manner_of(checkpoint)) or {} for checkpoint in checkpoints]
    everyone = [*(run for _, (run, _) in part), *beside]
    assemblies = company.assemble(everyone, device, execution, [*earlier, *({} for _ in beside)])[: len(part)]
    feeds = assemblies[0].feeds
    members = []
    for (index, (run, folder)), checkpoint, assembly in zip(part, checkpoints, assemblies, strict=True):
        assembly = replace(assembly, feeds=feeds, manner={**assembly.manner, "cohort": str(len(part))})
        training = prepare(
            run,
            assembly,
            device,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            progress=partial(progress, index),
        )
        feeds = feeds or (training.train, training.val)
        members.append(_Member(index, run, folder or Path(), assembly, training))
    return members


def _resumed(begin: Callable[[], list[_Member]]) -> list[_Member]:
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
    members: Sequence[_Member],
    done: Callable[[int, RunResult], None],
    *,
    keep: str,
    should_stop: Callable[[], bool],
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
    ).run()


def fitting(company: Company, runs: Sequence[Run], device: torch.device, execution: Execution) -> int:
    """How many of the runs fit into memory at once, from what cohorts of one and of two take.

    A real step and a validation pass each; what is measured is never trusted to be less than what is known to be held.
    """
    if len(runs) < 3:
        return len(runs)
    before = used_memory_bytes(device)
    one, two = (_measured(company, runs, count, device, execution) - before for count in (1, 2))
    fixed_and_one, each = max(one, 0), max(two - one, _held(company, runs[0], device, execution))
    room = SHARE_OF_MEMORY * free_memory_bytes(device) / execution.sharers - fixed_and_one
    return max(1, min(len(runs), 1 + int(room / each)))


def _measured(company: Company, runs: Sequence[Run], count: int, device: torch.device, execution: Execution) -> int:
    """Bytes at the highest point of a few steps and a validation pass of the first `count` of the runs."""
    members = _members(
        company,
        [(i, (run, None)) for i, run in enumerate(runs[:count])],
        device=device,
        execution=execution,
        beside=runs[count:] if company.shares_feeds else (),
    )
    reset_peak_memory(device)
    cohort = CohortTraining(
        [member.training for member in members], stack=company.stack, method=company.method, done=_nobody
    )
    cohort.try_out()
    return peak_memory_bytes(device)


def _nobody(index: int, result: RunResult) -> None:
    """Nobody is told."""


def _held(company: Company, run: Run, device: torch.device, execution: Execution) -> int:
    """Bytes of a member's weights, gradients, best weights, masks and one optimizer state."""
    (assembly,) = company.assemble([run], device, execution, [{}])
    return 5 * sum(parameter.nbytes for parameter in assembly.method.parameters())


def even_parts(things: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Consecutive parts, as few as possible of at most `size` things, of almost equal length."""
    count = -(-len(things) // size)
    return [things[len(things) * i // count : len(things) * (i + 1) // count] for i in range(count)]
