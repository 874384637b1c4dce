"""Learning-rate schedules as pure functions of the share of training done; warm-up multiplies on top."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]
"""Optimizer step (counted from 1) -> factor on the base learning rate."""


def constant() -> Callable[[float], float]:
    """Share of training done -> factor on the base learning rate: 1 throughout."""
    return lambda share: 1.0


def step(*, milestones: Sequence[float], factor: float) -> Callable[[float], float]:
    """Share of training done -> factor: multiplied by `factor` after each milestone, a share of training."""
    return lambda share: factor ** sum(share >= milestone for milestone in milestones)


def cosine(*, final_fraction: float) -> Callable[[float], float]:
    """Share of training done -> factor: half a cosine from 1 down to `final_fraction`."""
    return lambda share: final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Callable[..., Callable[[float], float]]] = {"constant": constant, "step": step, "cosine": cosine}


def with_warmup(shape: Callable[[float], float], *, total_steps: int, warmup_steps: int) -> Schedule:
    """The factor at each step: linear from 1/warmup to 1 over the warm-up, then `shape` over the rest.

    `shape` sees 0 at the first step after the warm-up and approaches 1 at the last step.
    """
    remaining = max(total_steps - warmup_steps, 1)

    def factor(step_index: int) -> float:
        if step_index <= warmup_steps:
            return step_index / warmup_steps
        return shape((step_index - 1 - warmup_steps) / remaining)

    return factor
