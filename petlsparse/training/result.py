"""What a finished, diverged or interrupted training hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Row = dict[str, Any]
HistoryRow = tuple[int, int, str, str, float]
"""step, epoch, split, metric, value"""


@dataclass(frozen=True)
class RunResult:
    """The outcome of one run. An interrupted run carries no metrics: its checkpoint goes on later."""

    status: Literal["done", "diverged", "interrupted"]
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    provenance_extra: dict[str, Any] = field(default_factory=dict)
