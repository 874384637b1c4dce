"""How long, how often and with what arithmetic to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoopSettings:
    """Plain numbers, all lengths in optimizer steps. Raises ValueError where one is below 1."""

    batch_size: int
    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    label_smoothing: float = 0.0
    checkpoint_seconds: float = 0.0
    """No checkpoint sooner than so many seconds after the last one: of tiny runs they would take most of the time."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "total_steps", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the data; the last, partial batch counts."""
    return -(-examples // batch_size)


def examples_seen(steps: int, examples: int, batch_size: int) -> int:
    """Training examples looked at in so many steps over a data set of so many examples."""
    epochs, rest = divmod(steps, steps_per_epoch(examples, batch_size))
    return epochs * examples + min(rest * batch_size, examples)
