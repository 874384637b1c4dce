"""Trainings without end, a few steps at a time: one alone, several in turn, several as one; on the CPU or on CUDA."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from benchmarks.harness import Contestant, counted
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.data.types import Split
from petlsparse.training.loaders import Images, Loader
from petlsparse.training.loop import Loop
from petlsparse.training.loop_settings import LoopSettings, steps_per_epoch
from petlsparse.training.member import Member
from petlsparse.training.method import Method
from petlsparse.training.strategy import SingleStrategy

NEVER = 10**9
NOTHING = Images(Split(torch.empty(0), torch.empty(0)), (), ())
CPU = torch.device("cpu")

Trained = Member | Loop


def here() -> torch.device:
    """CUDA if there is any."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def called(device: torch.device) -> str:
    """What a device is called in a title."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


def noise(shape: tuple[int, int, int], classes: int, count: int) -> Split:
    """Images with labels that mean nothing: an epoch of them costs what one of real ones costs."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(classes, (count,), generator=generator))


def endless(
    method: Method,
    train: Loader,
    optimizer: Optimizer,
    *,
    batch_size: int,
    val: Loader = NOTHING,
    seed: int = 0,
    device: torch.device = CPU,
    precision: Literal["float32", "bf16"] = "float32",
) -> Member:
    """A training without end at a constant learning rate, with validation, if there is any, after every epoch."""
    return Member(
        method,
        train=train,
        val=val,
        read_test=lambda: NOTHING,
        optimizer=optimizer,
        schedule=constant,
        settings=LoopSettings(
            batch_size=batch_size,
            total_steps=NEVER,
            evaluate_every=steps_per_epoch(len(train.labels), batch_size),
            checkpoint_every=NEVER,
            precision=precision,
        ),
        seed=seed,
        device=device,
    )


def constant(step: int) -> float:
    """One schedule for all: runs with schedules of their own would have optimizers of their own in a cohort."""
    return 1.0


def as_one(trainings: Sequence[Member], **how: Any) -> Loop:
    """A cohort without end; `how` are its `stack` and `method`."""
    return Loop(StackedStrategy(trainings, **how), done=lambda *_: None)


def steps_of(trained: Trained) -> Callable[[int], None]:
    """`go(n)`: the next n steps, everything included that `run` does on the way."""
    loop = Loop(SingleStrategy(trained), done=lambda *_: None) if isinstance(trained, Member) else trained
    stream = loop.strategy.context()

    def forever() -> Iterator[None]:
        loop.strategy.train(True)
        for epoch, batch in loop.batches():
            loop.advance(epoch, batch)
            yield

    going = forever()

    def go(steps: int) -> None:
        with stream:
            for _ in islice(going, steps):
                pass

    return go


def contestants(
    builders: Mapping[str, Callable[[], Sequence[Trained]]], steps: int, *, examples: int = 1, count: bool = False
) -> tuple[list[Contestant], list[str]]:
    """`steps` steps of each of several trainings in turn; times are of one step of one run.

    Args:
        builders: name -> what makes the trainings.
        steps: more than a cohort takes to record its steps as a CUDA graph.
        examples: by which times are divided further.
        count: FLOPs, in a first step.

    Returns:
        Those that the device has memory for, and notes on what others lack.
    """
    found, notes = [], []
    gc.collect()  # what was measured before is held by cycles
    for name, build in builders.items():
        try:
            trained = build()
            goes = [steps_of(one) for one in trained]
            flops = counted(in_turn(goes, 1)) * steps if count else None
            call = in_turn(goes, steps)
            call()
        except torch.cuda.OutOfMemoryError:
            notes.append(f"{name}: more than the memory of the device")
            continue
        cohorts = [one for one in trained if isinstance(one, Loop)]
        notes += sorted({f"{name}: {warning}" for one in cohorts for warning in one.strategy.warnings()})
        runs = len(trained) - len(cohorts) + sum(len(one.members) for one in cohorts)
        found.append(Contestant(name, call, flops, parts=runs * steps * examples))
    return found, notes


def in_turn(goes: Sequence[Callable[[int], None]], steps: int) -> Callable[[], None]:
    """So many steps of each."""

    def call() -> None:
        for go in goes:
            go(steps)

    return call
