"""Accuracy: the share of examples whose largest logit is that of their label."""

from __future__ import annotations

from torch import Tensor

from petlsparse.metrics.metric import Metric


def correct_count(logits: Tensor, labels: Tensor) -> Tensor:
    """Examples predicted correctly, int64 (M,). One model's logits (1, B, classes) may be (B, classes)."""
    return (logits.argmax(-1) == labels).sum(-1)


def percent(counts: Tensor, examples: int) -> Tensor:
    """Percent, float64 (M,), that `counts` (M,) are of so many examples."""
    return 100 * counts.double() / examples


ACCURACY = Metric(correct_count, percent)
