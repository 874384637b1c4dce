"""From runs to their results, of one as of several that are trained as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from petlsparse.cohorts.keys import cohort_key
from petlsparse.cohorts.models import Incompatible
from petlsparse.cohorts.size import even_parts, fitting, peak_bytes
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run
from petlsparse.studies.assembly import arithmetic_of
from petlsparse.studies.members import PreparedRun, build_members, checkpoint_path
from petlsparse.tracking.atomic import rename_with_suffix, write_bytes
from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import BrokenCheckpoint, runtime_choices_of, save_tensors
from petlsparse.training.loop import Loop
from petlsparse.training.member import Member
from petlsparse.training.memory import peak_memory_bytes, reset_peak_memory
from petlsparse.training.result import RunResult
from petlsparse.training.strategy import SingleStrategy
from petlsparse.training.timer import Timer

if TYPE_CHECKING:
    from petlsparse.studies.study import Study


def execute(
    study: Study,
    runs: Sequence[Run],
    folders: Sequence[Path],
    *,
    device: torch.device,
    execution: Execution,
    output: Output,
    on_start: Callable[[Sequence[int]], None],
    progress: Callable[[int, Progress], None],
    done: Callable[[int, RunResult], None],
    should_stop: Callable[[], bool],
) -> None:
    """Train runs from their checkpoints, or from the start, and keep the weights the recipe asks for.

    Several are trained as one, or as a few cohorts one after another if they do not fit into memory. One by itself is
    trained in a cohort's arithmetic if it could be one of several, so that its result is the same; one that was begun
    goes on as it was begun. On the CPU its numbers do not depend on the others.

    A checkpoint that cannot be continued is set aside, and the run starts again: its result is the same, only the time
    is lost.

    Args:
        study: of the runs.
        runs: of the same `cohorts.keys.cohort_key`.
        folders: their folders, with checkpoints of the same step or with none.
        device: where everything happens.
        execution: choices of the command.
        output: when checkpoints are made, and which weights are kept.
        on_start: told the indices of those that are taken up, to be trained as one.
        progress: told the index of a run, and how far it has come and all taken up with it; of an evaluation, of each.
        done: told the index of a run and its result. Runs that were not begun when asked to stop have none.
        should_stop: asked after every step.

    Raises:
        Incompatible: several cannot be trained as one.
    """
    timer = Timer()

    def train(indices: Sequence[int], *, stacked: bool) -> None:
        """These runs, as one."""
        on_start(indices)
        reset_peak_memory(device)
        prepared = _resumed(
            partial(
                build_members,
                study,
                [runs[i] for i in indices],
                [folders[i] for i in indices],
                device=device,
                execution=execution,
                stacked=stacked,
                output=output,
                progress=lambda k, told: progress(indices[k], told),
            )
        )
        index = {one.member: (i, one) for i, one in zip(indices, prepared, strict=True)}

        def conclude(member: Member, result: RunResult) -> None:
            i, one = index[member]
            whole = finished_result(one, result, keep=output.save_weights)
            if stacked:
                whole.provenance_extra["cohort"] = len(prepared)
            done(i, whole)

        members = [one.member for one in prepared]
        if not stacked:
            (one,) = prepared
            report = partial(progress, indices[0])
            if (computed := study.compute(one.run, one.assembly, device, report)) is not None:
                done(indices[0], finished_result(one, computed, keep="none"))
                return
        strategy = (
            StackedStrategy(members, stack=study.stack, method=study.hooks) if stacked else SingleStrategy(*members)
        )
        warn = prepared[0].warnings.append
        Loop(strategy, done=conclude, should_stop=should_stop, warn=warn, timer=timer).run()

    with arithmetic_of(runs[0], device):
        alone = len(runs) == 1
        if not alone or _in_cohort_arithmetic(runs[0], folders[0], device, execution):
            try:
                for part in even_parts(range(len(runs)), cohort_size(study, runs, device, execution)):
                    if not alone and should_stop():
                        return
                    train(part, stacked=True)
                return
            except Incompatible:
                if not alone:
                    raise
        train([0], stacked=False)


def _in_cohort_arithmetic(run: Run, folder: Path, device: torch.device, execution: Execution) -> bool:
    """Whether a run by itself is stacked: as it was begun, else if it could have been one of several."""
    chosen = runtime_choices_of(checkpoint_path(folder), run.run_id)
    return "cohort" in chosen if chosen is not None else cohort_key(run, device.type, execution) is not None


def _resumed(build: Callable[[], list[PreparedRun]]) -> list[PreparedRun]:
    """Members where their checkpoints stand; what cannot be continued is set aside, and all are built again."""
    prepared, again = build(), False
    for one in prepared:
        try:
            one.member.resume()
        except BrokenCheckpoint as error:
            assert one.member.checkpoint is not None
            aside, again = rename_with_suffix(one.member.checkpoint, "set-aside"), True
            one.warnings.append(f"started again, its checkpoint cannot be continued: {error}; it is now {aside.name}")
    if not again:
        return prepared
    return [
        replace(new, warnings=[*old.warnings, *new.warnings])
        for new, old in zip(_resumed(build), prepared, strict=True)
    ]


def cohort_size(study: Study, runs: Sequence[Run], device: torch.device, execution: Execution) -> int:
    """How many of the runs fit into memory as one."""

    def measured(count: int) -> int:
        prepared = build_members(
            study,
            runs[:count],
            [None] * count,
            device=device,
            execution=execution,
            output=Output(),
            stacked=True,
            others=runs[count:] if study.shares_loaders else (),
        )
        return peak_bytes([one.member for one in prepared], stack=study.stack, method=study.hooks)

    def held() -> int:
        (assembly,) = study.assemble(runs[:1], device, execution, [{}])
        return sum(parameter.nbytes for parameter in assembly.method.parameters())

    return fitting(len(runs), device, measured=measured, weights=held, workers_per_device=execution.workers_per_device)


def finished_result(one: PreparedRun, result: RunResult, *, keep: str) -> RunResult:
    """The result with what the training knows nothing of: cost, provenance, final rows. Writes weights to keep."""
    assembly, member = one.assembly, one.member
    if result.status == "done" and one.folder is not None:
        of = {"last": member.last_tensors, "best": member.best_tensors or member.last_tensors}
        kept = of if keep == "both" else [name for name in of if name == keep]
        for name, text in (assembly.files if kept else {}).items():
            write_bytes(one.folder / name, text.encode())
        if "best" in kept and not member.best_tensors:
            one.warnings.append("there is no validation to select by: best.safetensors holds the last weights")
        for name in kept:
            tensors = assembly.export(of[name])
            save_tensors(one.folder / f"{name}.safetensors", tensors, {"run_id": one.run.run_id})
    data = assembly.dataset
    extra: dict[str, Any] = {
        "classes": data.classes,
        "examples_train": len(data.train),
        "examples_val": len(data.val),
        "examples_test": data.test_examples,
        **assembly.fingerprints,
        **assembly.runtime_choices,
        **assembly.derived,
        "warnings": list(one.warnings),
    }
    cost = {**result.cost, **assembly.cost, "peak_memory_bytes": peak_memory_bytes(member.device)}
    rows = {**result.rows, **(assembly.final_rows() if result.status == "done" else {})}
    return replace(result, rows=rows, cost=cost, provenance_extra=extra)
