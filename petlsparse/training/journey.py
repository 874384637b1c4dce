"""Where a training stands: step, clock, history, best epoch. Plain data that a checkpoint stores as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from petlsparse.training.evaluation import Score
from petlsparse.training.result import HistoryRow, Row


@dataclass
class Journey:
    """Progress of one run, complete enough to go on from any step."""

    step: int = 0
    seconds: float = 0.0
    train_seconds: float = 0.0
    best_step: int = 0
    best_epoch: int = 0
    best: list[float] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Journey:
        """Rebuild from a checkpoint's JSON."""
        journey = cls(**facts)
        journey.history = [(row[0], row[1], row[2], row[3], row[4]) for row in facts["history"]]
        return journey

    def facts(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    def note(self, epoch: int, split: str, **metrics: float) -> None:
        """Add one history row per metric at the current step."""
        self.history += [(self.step, epoch, split, name, value) for name, value in metrics.items()]

    def collect(self, rows: dict[str, list[Row]]) -> None:
        """Add the rows a method recorded."""
        for table, new in rows.items():
            self.rows.setdefault(table, []).extend(new)

    def improves(self, score: Score) -> bool:
        """Strictly better validation accuracy than every evaluation before (the first one wins ties)."""
        return not self.best or score.accuracy > self.best[1]

    def crown(self, epoch: int, score: Score) -> None:
        """Remember the current step as the best one."""
        self.best_step, self.best_epoch, self.best = self.step, epoch, [score.loss, score.accuracy]


def finite(*values: float) -> bool:
    """Whether training is still a number."""
    return all(math.isfinite(value) for value in values)
