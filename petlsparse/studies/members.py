"""From runs to members of a training loop: each assembled, with one set of loaders for all where they are stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from petlsparse.data import AUGMENTATIONS
from petlsparse.data.types import Split
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.optimization import ScheduleSettings
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run
from petlsparse.registry import resolve
from petlsparse.studies.assembly import Assembly
from petlsparse.studies.optimizers import build_optimizer
from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import runtime_choices_of
from petlsparse.training.loaders import Augmentation, Images, Loader, placed
from petlsparse.training.loop_settings import LoopSettings, steps_per_epoch
from petlsparse.training.member import Member
from petlsparse.training.schedules import SCHEDULES, Schedule, with_warmup
from petlsparse.training.task import classification

if TYPE_CHECKING:
    from petlsparse.studies.study import Study


@dataclass
class PreparedRun:
    """A run and the member that it became."""

    run: Run
    folder: Path | None
    assembly: Assembly
    member: Member
    warnings: list[str] = field(default_factory=list)


def checkpoint_path(folder: Path) -> Path:
    """Where a run's checkpoint is."""
    return folder / "checkpoint.safetensors"


def build_members(
    study: Study,
    runs: Sequence[Run],
    folders: Sequence[Path | None],
    *,
    device: torch.device,
    execution: Execution,
    stacked: bool,
    output: Output,
    progress: Callable[[int, Progress], None] = lambda *_: None,
    others: Sequence[Run] = (),
) -> list[PreparedRun]:
    """Runs assembled and prepared, with the runtime choices of their checkpoints; not resumed yet.

    Args:
        study: of the runs.
        runs: one, or several that are to be stacked.
        folders: of the runs; None keeps no checkpoint.
        device: where everything happens.
        execution: choices of the command.
        stacked: whether they are to be stacked: masked, whatever the machine would choose for one run by itself, and
            with one set of loaders.
        output: when checkpoints are made.
        progress: told the index of a run and how far it is.
        others: runs that the loaders are to serve as well.
    """
    if stacked:
        execution = replace(execution, backend="masked")
    checkpoints = [folder and checkpoint_path(folder) for folder in folders]
    resumed_from = [
        (checkpoint and runtime_choices_of(checkpoint, run.run_id)) or {}
        for checkpoint, run in zip(checkpoints, runs, strict=True)
    ]
    assemblies = study.assemble([*runs, *others], device, execution, [*resumed_from, *({} for _ in others)])[
        : len(runs)
    ]
    loaders = assemblies[0].loaders
    found = []
    for i, (run, folder, assembly) in enumerate(zip(runs, folders, assemblies, strict=True)):
        if stacked:
            choices = {**assembly.runtime_choices, "cohort": str(len(runs))}
            assembly = replace(assembly, loaders=loaders, runtime_choices=choices)
        member = build_member(
            run,
            assembly,
            device,
            checkpoint=checkpoints[i],
            output=output,
            progress=partial(progress, i),
        )
        loaders = loaders or (member.train, member.val)
        found.append(PreparedRun(run, folder, assembly, member, list(assembly.warnings)))
    return found


def build_member(
    run: Run,
    assembly: Assembly,
    device: torch.device,
    *,
    checkpoint: Path | None = None,
    output: Output,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Member:
    """A run ready to be trained. Settings of training and schedule become plain arguments here."""
    epoch_steps = steps_per_epoch(len(assembly.dataset.train), run.training.batch_size)
    steps = run.training.duration.steps(epoch_steps)
    data = assembly.dataset
    mean, std = assembly.pixel_mean or data.mean, assembly.pixel_std or data.std
    augment = None if run.data.augment == "none" else resolve(AUGMENTATIONS, run.data.augment, "augmentation")

    def images(split: Split, augment: Augmentation | None = None) -> Loader:
        return Images(placed(split, device), mean, std, augment)

    train, val = assembly.loaders or (images(data.train, augment), images(data.val))
    return Member(
        assembly.method,
        train=train,
        val=val,
        read_test=lambda: images(data.test()),
        optimizer=build_optimizer(run, assembly),
        schedule=_schedule(run.schedule, steps, epoch_steps),
        settings=LoopSettings(
            batch_size=run.training.batch_size,
            total_steps=steps,
            evaluate_every=run.training.evaluate_every.steps(epoch_steps),
            checkpoint_every=output.checkpoint_every.steps(epoch_steps),
            precision=run.training.precision,
            label_smoothing=run.training.label_smoothing,
            checkpoint_seconds=output.checkpoint_seconds,
        ),
        task=classification(run.training.select_by),
        seed=run.seed,
        device=device,
        checkpoint=checkpoint,
        run_id=run.run_id,
        fingerprints=assembly.fingerprints,
        runtime_choices=assembly.runtime_choices,
        report=progress,
    )


@lru_cache(maxsize=64)
def _schedule(settings: ScheduleSettings, steps: int, epoch_steps: int) -> Schedule:
    """One object for equal settings: that is how runs trained as one are seen to share a learning rate."""
    shape = SCHEDULES[settings.name](**settings.model_dump(exclude={"name", "warmup"}))
    return with_warmup(shape, total_steps=steps, warmup_steps=settings.warmup.steps(epoch_steps))
