"""How far a run is: step, seconds, history, best evaluation. Plain data that a checkpoint stores as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any

from petlsparse.training.evaluation import Score
from petlsparse.training.result import HistoryRow, Row


@dataclass
class TrainState:
    """Of one run, complete enough to go on from any step."""

    step: int = 0
    seconds: float = 0.0
    train_seconds: float = 0.0
    best_step: int = 0
    best_epoch: int = 0
    best: list[float] = field(default_factory=list)
    """Loss and accuracy at the best evaluation so far; empty before the first."""
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

    def collect(self, rows: dict[str, list[Row]]) -> None:
        """Add the rows a method recorded."""
        for table, new in rows.items():
            self.rows.setdefault(table, []).extend(new)

    def is_best(self, score: Score) -> bool:
        """Whether its validation accuracy is strictly better than all before (the first one wins ties)."""
        return not self.best or score.accuracy > self.best[1]

    def mark_best(self, epoch: int, score: Score) -> None:
        """Remember the current step as the best one."""
        self.best_step, self.best_epoch, self.best = self.step, epoch, [score.loss, score.accuracy]

    def metrics(self, epochs: int) -> dict[str, float]:
        """Final metrics as the `runs` table names them, those of the test split aside."""
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        metrics = {f"{name}_last": self.latest[name] for name in names if name in self.latest}
        if self.best:
            loss, accuracy = self.best
            metrics |= {"val_loss_best": loss, "val_accuracy_best": accuracy}
            metrics |= {"best_step": self.best_step, "best_epoch": self.best_epoch}
        return {"steps": self.step, "epochs": epochs, **metrics}

    def cost(self, examples: int) -> dict[str, float]:
        """Times so far, for so many training examples seen."""
        return {
            "wall_seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "examples_per_second": examples / self.train_seconds if self.train_seconds else math.nan,
        }
