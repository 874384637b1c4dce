"""What does the training loop cost beyond the bare forward, backward and optimizer step?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import cycle

import torch
from torch.nn import functional

from benchmarks.harness import Comparison, Contestant, Effort, compare, matmul
from benchmarks.mlp import BATCH, FULL, MEAN, STD, TINY, Variant, network, optimizer, split, step_flops, training
from benchmarks.trainings import steps_of
from petlsparse.data.augment import crop_flip, normalise

STEPS = 5
"""Steps per measurement."""


def run(effort: Effort) -> Iterator[Comparison]:
    """The dense MLP: Training against a bare loop that does the same work, and against less and more."""
    widths = TINY if effort.quick else FULL
    flops = STEPS * step_flops(Variant(), widths)
    plain, augmented = (
        partial(steps_of(training(Variant(), widths, train=split(4_500), val=split(0), augment=augment)), STEPS)
        for augment in (None, crop_flip)
    )
    yield compare(
        f"{STEPS} steps of the dense MLP, batch {BATCH}",
        [
            Contestant("pick, normalise, forward, backward, optimizer", Bare(widths, picking=True), flops),
            Contestant("Training", plain, flops),
            Contestant("forward, backward, optimizer", Bare(widths, picking=False), flops),
            Contestant("Training, crop and flip", augmented, flops),
        ],
        rounds=2 * effort.rounds,
        roof=matmul(BATCH, 3072, widths[0]),
        notes=["Training without validation; what it takes beyond the first line is the loop's own"],
    )


class Bare:
    """The steps that nobody can do without."""

    def __init__(self, widths: tuple[int, ...], *, picking: bool) -> None:
        self.data, self.picking = split(4_500), picking
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(0))
        self.chunks = cycle(torch.split(order, BATCH)[:-1])
        self.batch = self.pick()
        self.model = network(widths)
        self.optimizer = optimizer(list(self.model.parameters()))

    def pick(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next images, normalised, and their labels."""
        batch = self.data.take(next(self.chunks))
        return normalise(batch.images, MEAN, STD), batch.labels

    def __call__(self) -> None:
        """So many steps."""
        for _ in range(STEPS):
            images, labels = self.pick() if self.picking else self.batch
            loss = functional.cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
