"""From an assembled run to its result: what both studies share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from petlsparse.data import AUGMENTATIONS
from petlsparse.data.loading import load_data
from petlsparse.data.types import Dataset, Split
from petlsparse.errors import UserError
from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import PLAIN, Execution
from petlsparse.recipe.optimization import Schedule as ScheduleSettings
from petlsparse.recipe.schema import Data, Run
from petlsparse.registry import resolve
from petlsparse.tracking.atomic import rename_aside
from petlsparse.tracking.progress import Progress
from petlsparse.training.arithmetic import missing_arithmetic, reference_arithmetic
from petlsparse.training.checkpoint import BrokenCheckpoint, manner_of, save_tensors
from petlsparse.training.feeds import Augmentation, Feed, Images
from petlsparse.training.loop import Training
from petlsparse.training.memory import peak_memory_bytes, reset_peak_memory
from petlsparse.training.method import Method
from petlsparse.training.optimizers import OPTIMIZERS
from petlsparse.training.result import Row, RunResult
from petlsparse.training.schedules import SCHEDULES, Schedule, with_warmup
from petlsparse.training.settings import Settings, examples_seen, steps_per_epoch
from petlsparse.training.timer import Timer


@dataclass(frozen=True)
class Assembly:
    """A run made concrete: the method to train, its data, and what it costs."""

    method: Method
    dataset: Dataset
    cost: dict[str, float]
    """trainable_parameters, total_parameters, active_parameters, inference_flops (per example), training_flops"""
    pixel_mean: tuple[float, ...] | None = None
    pixel_std: tuple[float, ...] | None = None
    """What the network expects pixels to be normalised with; None means the data set's own."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Fingerprints of what the result rests on besides settings and data, by column of the `runs` table."""
    manner: dict[str, str] = field(default_factory=dict)
    """How the run is executed, by column of the `runs` table: what may differ between machines."""
    facts: dict[str, str] = field(default_factory=dict)
    """What follows from the settings without standing there, by column of the `runs` table: edges that were drawn."""
    feeds: tuple[Feed, Feed] | None = None
    """Of training and validation, in place of the images: what a frozen network makes of them, or what is shared."""
    portable: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    """From trained tensors as the model holds them to those of the ordinary network, for weights that are kept."""
    final_rows: Callable[[], dict[str, list[Row]]] = dict
    """Rows to record once training is over, by table."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of all that the result rests on besides settings, by column of the `runs` table."""
        data = self.dataset
        return {"data_fingerprint": data.fingerprint, "test_fingerprint": data.test_fingerprint, **self.provenance}


class Assembler(Protocol):
    """From a run to its assembly."""

    def __call__(
        self, run: Run, device: torch.device, execution: Execution, earlier: Mapping[str, str] = ...
    ) -> Assembly:
        """`earlier` is the `manner` of the checkpoint to be continued: the run goes on in the same manner."""
        ...


def total_steps(run: Run, examples: int) -> int:
    """Optimizer steps of the whole run."""
    return run.training.duration.steps(steps_per_epoch(examples, run.training.batch_size))


def examples_of(run: Run, dataset: Dataset) -> int:
    """Training examples the whole run looks at."""
    examples = len(dataset.train)
    return examples_seen(total_steps(run, examples), examples, run.training.batch_size)


def arithmetic_of(run: Run, device: torch.device) -> AbstractContextManager[None]:
    """What a run is to be assembled and trained in. Raises UserError if the device has no such arithmetic."""
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


def forget_data() -> None:
    """Read the data anew when they are next asked for: a process may execute several commands."""
    _loaded.cache_clear()


def prepare(
    run: Run,
    assembly: Assembly,
    device: torch.device,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: Duration | None = None,
    checkpoint_seconds: float = 0.0,
    timer: Timer | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Training:
    """The training of a run, ready to go. Optimizer and schedule settings become plain arguments here."""
    epoch_steps = steps_per_epoch(len(assembly.dataset.train), run.training.batch_size)
    steps = run.training.duration.steps(epoch_steps)
    optimizer = run.optimizer.model_dump(exclude={"name"})
    data = assembly.dataset
    mean, std = assembly.pixel_mean or data.mean, assembly.pixel_std or data.std
    augment = None if run.data.augment == "none" else resolve(AUGMENTATIONS, run.data.augment, "augmentation")

    def images(split: Split, augment: Augmentation | None = None) -> Feed:
        return Images(split.to(device), mean, std, augment)

    train, val = assembly.feeds or (images(data.train, augment), images(data.val))
    return Training(
        assembly.method,
        train=train,
        val=val,
        read_test=lambda: images(data.test()),
        optimizer=OPTIMIZERS[run.optimizer.name](assembly.method.parameters(), **optimizer),
        schedule=_schedule(run.schedule, steps, epoch_steps),
        settings=Settings(
            batch_size=run.training.batch_size,
            total_steps=steps,
            evaluate_every=run.training.evaluate_every.steps(epoch_steps),
            checkpoint_every=checkpoint_every.steps(epoch_steps) if checkpoint_every else steps,
            precision=run.training.precision,
            label_smoothing=run.training.label_smoothing,
            checkpoint_seconds=checkpoint_seconds,
        ),
        seed=run.seed,
        device=device,
        checkpoint=checkpoint,
        run_id=run.run_id,
        timer=timer,
        fingerprints=assembly.fingerprints,
        manner=assembly.manner,
        report=progress,
        should_stop=should_stop,
    )


@lru_cache(maxsize=64)
def _schedule(settings: ScheduleSettings, steps: int, epoch_steps: int) -> Schedule:
    """One object for equal settings: that is how runs trained as one are seen to share a learning rate."""
    shape = SCHEDULES[settings.name](**settings.model_dump(exclude={"name", "warmup"}))
    return with_warmup(shape, total_steps=steps, warmup_steps=settings.warmup.steps(epoch_steps))


def execute(
    assemble: Assembler,
    run: Run,
    *,
    run_dir: Path,
    device: torch.device,
    progress: Callable[[Progress], None],
    checkpoint_every: Duration,
    keep: str,
    should_stop: Callable[[], bool],
    execution: Execution = PLAIN,
) -> RunResult:
    """Train a run from its checkpoint, or from the start, and keep the weights the recipe asks for.

    A checkpoint that cannot be continued is set aside, and the run starts again: its result is the same, only the time
    is lost.
    """
    checkpoint, timer = run_dir / "checkpoint.safetensors", Timer()

    def attempt() -> tuple[Training, RunResult, Assembly]:
        reset_peak_memory(device)
        assembly = assemble(run, device, execution, manner_of(checkpoint, run.run_id) or {})
        training = prepare(
            run,
            assembly,
            device,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            checkpoint_seconds=execution.checkpoint_seconds,
            timer=timer,
            progress=progress,
            should_stop=should_stop,
        )
        return training, training.run(), assembly

    warnings: list[str] = []
    with arithmetic_of(run, device):
        try:
            training, result, assembly = attempt()
        except BrokenCheckpoint as error:
            warnings.append(set_aside(checkpoint, error))
            training, result, assembly = attempt()
    return concluded(run, assembly, training, result, run_dir=run_dir, keep=keep, warnings=warnings)


def set_aside(checkpoint: Path, error: BrokenCheckpoint) -> str:
    """Rename a checkpoint that cannot be continued. Returns what to warn of."""
    aside = rename_aside(checkpoint, "set-aside")
    return f"started again, its checkpoint cannot be continued: {error}; it is now {aside.name}"


def concluded(
    run: Run,
    assembly: Assembly,
    training: Training,
    result: RunResult,
    *,
    run_dir: Path,
    keep: str,
    warnings: Sequence[str] = (),
) -> RunResult:
    """The result with what the training knows nothing of: cost, provenance, final rows. Writes weights to keep."""
    if result.status == "done":
        if keep in ("last", "both"):
            last = assembly.portable(training.last_tensors)
            save_tensors(run_dir / "last.safetensors", last, {"run_id": run.run_id})
        if keep in ("best", "both"):
            best = assembly.portable(training.best_tensors or training.last_tensors)
            save_tensors(run_dir / "best.safetensors", best, {"run_id": run.run_id})
    data = assembly.dataset
    extra: dict[str, Any] = {
        "classes": data.classes,
        "examples_train": len(data.train),
        "examples_val": len(data.val),
        "examples_test": data.test_examples,
        **assembly.fingerprints,
        **assembly.manner,
        **assembly.facts,
        "warnings": list(warnings),
    }
    cost = {**result.cost, **assembly.cost, "peak_memory_bytes": peak_memory_bytes(training.device)}
    rows = {**result.rows, **(assembly.final_rows() if result.status == "done" else {})}
    return replace(result, rows=rows, cost=cost, provenance_extra=extra)


def extrapolated_seconds(
    assemble: Assembler, run: Run, device: torch.device, execution: Execution = PLAIN, steps: int = 5
) -> float:
    """The run's `wall_seconds`, extrapolated from its start, a few real steps and one validation pass."""
    clock = time.perf_counter()
    assembly = assemble(run, device, execution)
    examples = len(assembly.dataset.train)
    brief = run.training.model_copy(update={"duration": Duration(count=steps + 1, unit="steps")})
    training = prepare(run.model_copy(update={"training": brief}), assembly, device)
    start_seconds = time.perf_counter() - clock
    for epoch, chosen in training.batches():
        training.step(epoch, chosen)
        if training.journey.step == 1:  # the first step pays for allocations and kernel choice
            training.loss_sum.item()
            clock = time.perf_counter()
    training.loss_sum.item()  # waits for the device
    step_seconds = (time.perf_counter() - clock) / steps
    clock = time.perf_counter()
    training.evaluate(epoch=1)
    evaluation_seconds = time.perf_counter() - clock
    every = run.training.evaluate_every.steps(steps_per_epoch(examples, run.training.batch_size))
    full = total_steps(run, examples)
    return start_seconds + step_seconds * full + evaluation_seconds * -(-full // every)
