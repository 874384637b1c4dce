"""What a metric is: counts that add up over batches, and the number that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """One number about a whole split, the larger the better.

    It is made once, from counts added up over all batches: exact however the examples were divided, and no more
    memory than the counts of one batch.
    """

    count: Callable[[Tensor, Tensor], Tensor]
    """(logits (M, B, classes), labels int64 (M, B)) -> counts (M, ...) of each of M models over a batch."""
    value: Callable[[Tensor, int], Tensor]
    """(counts (M, ...) of a split, its examples) -> float64 (M,), in the unit that `tracking.tables` gives it."""
