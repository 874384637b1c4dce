"""Macro F1: the F1 of every class, averaged, so that a rare class counts as much as a frequent one.

As `sklearn.metrics.f1_score(average="macro", zero_division=0)`: a class that is only in labels or only in predictions
has an F1 of 0, and one that is in neither has no part in the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from petlsparse.metrics.metric import Metric


def class_counts(logits: Tensor, labels: Tensor) -> Tensor:
    """Of every class the examples predicted right, and those predicted or labelled so: int64 (M, 2, classes)."""
    classes = torch.arange(logits.shape[-1], device=logits.device)
    predicted, actual = logits.argmax(-1, keepdim=True) == classes, labels.unsqueeze(-1) == classes
    return torch.stack([(predicted & actual).sum(1), predicted.sum(1) + actual.sum(1)], 1)


def percent(counts: Tensor, examples: int) -> Tensor:
    """Mean of 2 right / (predicted + labelled) over the classes that there are, float64 (M,)."""
    right, either = counts.double().unbind(1)
    return 100 * (2 * right / either.clamp(min=1)).sum(-1) / (either > 0).sum(-1)


MACRO_F1 = Metric(class_counts, percent)
