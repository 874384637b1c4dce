"""Topology updates over a training: when they happen, how much they replace, and by which rules."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from petlsparse.sparsity.schedules import cosine
from petlsparse.sparsity.topology import UpdateRules


@dataclass(frozen=True)
class TopologyUpdates:
    """Everything that makes sparse training dynamic (2306.12230). Steps count optimizer steps from 1.

    Attributes:
        rules: which active weights go, and which inactive ones come.
        generator: source of randomness of both; not seeded like that of the initial masks, or it draws them again.
        total_steps: length of the training.
        update_period: an update after every so many steps; the first at step `update_period`.
        drop_fraction: share of a layer's active weights replaced at an update, at the start.
        drop_schedule: (drop_fraction, step, end) -> the share replaced at `step`.
        update_stop: fraction of the training at which updates, and the drop schedule, end; 0.75 is RigL's rule.
        update_last_step: whether an update may fall on the very last step, after which nothing is trained.
        update_point: on which side of the optimizer step to update; "auto" is "before-step" for criteria that read
            the gradient, which thereby meets the weights it was taken at, and "after-step" for the others.
        regrown: what a weight pruned and grown in the same update holds: "zero" (new, like every grown weight) or
            "keep" (value and optimizer state, as in the released code).
    """

    rules: UpdateRules
    generator: torch.Generator
    total_steps: int
    update_period: int = 800
    drop_fraction: float = 0.5
    drop_schedule: Callable[[float, int, float], float] = cosine
    update_stop: float = 1.0
    update_last_step: bool = False
    update_point: Literal["auto", "before-step", "after-step"] = "auto"
    regrown: Literal["zero", "keep"] = "zero"

    @property
    def before_step(self) -> bool:
        """Whether updates come before the optimizer step of their iteration."""
        return self.update_point == "before-step" or (
            self.update_point == "auto" and self.rules.criterion.reads_gradient
        )

    @property
    def last_step(self) -> int:
        """No update after this step."""
        stop = math.floor(round(self.update_stop * self.total_steps, 6))
        return min(stop, self.total_steps if self.update_last_step else self.total_steps - 1)

    @property
    def count(self) -> int:
        """Number of updates in the whole training."""
        return self.last_step // self.update_period

    def due(self, step: int) -> bool:
        """Whether an update happens at this step."""
        return step % self.update_period == 0 and step <= self.last_step

    def fraction(self, step: int) -> float:
        """Share of the active weights that an update at this step replaces."""
        return self.drop_schedule(self.drop_fraction, step, self.update_stop * self.total_steps)
