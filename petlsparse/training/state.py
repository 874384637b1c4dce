"""How far a run is: step, seconds, history, best evaluation. Plain data that a checkpoint stores as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any

from petlsparse.training.result import HistoryRow, Row


@dataclass
class TrainState:
    """Of one run, complete enough to go on from any step."""

    step: int = 0
    seconds: float = 0.0
    train_seconds: float = 0.0
    best_step: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    """Of the metric that selects, at the best evaluation so far; None before the first."""
    history: list[HistoryRow] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.latest: dict[str, float] = {}
        """The newest value of every metric, as "val_accuracy"; a new mapping whenever there are new ones."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> TrainState:
        """The inverse of `to_json`. Raises TypeError for other fields than there are."""
        state = cls(**fields)
        state.history = []
        for step, epoch, split, metric, value in fields["history"]:
            state.history.append((step, epoch, split, metric, value))
            state.latest[f"{split}_{metric}"] = value
        return state

    def to_json(self) -> dict[str, Any]:
        """All fields, as a checkpoint stores them."""
        return asdict(self)

    def log(self, epoch: int, split: str, **metrics: float) -> None:
        """Add one history row per metric at the current step."""
        self.history += [(self.step, epoch, split, name, value) for name, value in metrics.items()]
        self.latest = self.latest | {f"{split}_{name}": value for name, value in metrics.items()}

    def logged_now(self) -> dict[str, float]:
        """The metrics logged at the current step, as "val_accuracy"."""
        rows = [*takewhile(lambda row: row[0] == self.step, reversed(self.history))]
        return {f"{split}_{name}": value for _, _, split, name, value in reversed(rows)}

    def add_rows(self, rows: dict[str, list[Row]]) -> None:
        """Add the rows a method recorded."""
        for table, new in rows.items():
            self.rows.setdefault(table, []).extend(new)

    def is_best(self, value: float) -> bool:
        """Whether the metric that selects is strictly higher than ever before (the first one wins ties)."""
        return self.best_value is None or value > self.best_value

    def mark_best(self, epoch: int, value: float) -> None:
        """Remember the current step as the best one."""
        self.best_step, self.best_epoch, self.best_value = self.step, epoch, value

    def metrics(self, epochs: int) -> dict[str, float]:
        """Final metrics as the `runs` table names them, those of the test split at the best weights aside."""
        metrics = {f"{name}_last": value for name, value in self.latest.items() if name != "train_lr"}
        if self.best_value is not None:
            best = [row for row in self.history if (row[0], row[2]) == (self.best_step, "val")]
            metrics |= {f"val_{name}_best": value for *_, name, value in best}
            metrics |= {"best_step": self.best_step, "best_epoch": self.best_epoch}
        return {"steps": self.step, "epochs": epochs, **metrics}

    def cost(self, examples: int) -> dict[str, float]:
        """Times so far, for so many training examples seen."""
        return {
            "wall_seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "examples_per_second": examples / self.train_seconds if self.train_seconds else math.nan,
        }
