"""How runs of a study become one: who may, how they are assembled, and what computes for them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies.execution import Assembly, prepare
from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import manner_of
from petlsparse.training.cohort_method import CohortMethod, OneByOne
from petlsparse.training.loop import Training
from petlsparse.training.method import Method
from petlsparse.training.stack import Stack, StackedModels


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


@dataclass
class Member:
    """A run on its way."""

    index: int
    run: Run
    folder: Path
    assembly: Assembly
    training: Training
    warnings: list[str] = field(default_factory=list)


def members_of(
    company: Company,
    part: Sequence[tuple[int, tuple[Run, Path | None]]],
    *,
    device: torch.device,
    execution: Execution,
    checkpoint_every: Duration | None = None,
    progress: Callable[[int, Progress], None] = lambda *_: None,
    beside: Sequence[Run] = (),
) -> list[Member]:
    """Assembled and prepared, with one set of feeds for all, and for those `beside` them."""
    # What is stacked is masked, whatever the machine would choose for one run.
    execution = replace(execution, backend="masked")
    checkpoints = [folder and folder / "checkpoint.safetensors" for _, (_, folder) in part]
    earlier = [
        (checkpoint and manner_of(checkpoint, run.run_id)) or {}
        for checkpoint, (_, (run, _)) in zip(checkpoints, part, strict=True)
    ]
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
            checkpoint_seconds=execution.checkpoint_seconds,
            progress=partial(progress, index),
        )
        feeds = feeds or (training.train, training.val)
        members.append(Member(index, run, folder or Path(), assembly, training))
    return members
