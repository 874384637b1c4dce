"""What networks are trained for: a loss to descend, metrics to be judged by, and the one that selects weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor
from torch.nn import functional

from petlsparse.metrics import METRICS
from petlsparse.metrics.metric import Metric
from petlsparse.registry import resolve

Reduction = Literal["none", "mean", "sum"]


class Loss(Protocol):
    """Of logits (B, classes) and labels int64 (B,): (B,), or reduced a scalar."""

    def __call__(self, logits: Tensor, labels: Tensor, reduction: Reduction, label_smoothing: float = 0.0) -> Tensor:
        """With the labels spread over the classes by `label_smoothing`, in training."""
        ...


@dataclass(frozen=True)
class Task:
    """The same for all runs that are trained as one."""

    loss: Loss
    metrics: Mapping[str, Metric]
    """By the names of columns and history, in which "loss" is taken."""
    select_by: str
    """The metric whose highest value on validation says which weights are best."""


def cross_entropy(logits: Tensor, labels: Tensor, reduction: Reduction, label_smoothing: float = 0.0) -> Tensor:
    """In nats, computed in float32."""
    return functional.cross_entropy(logits.float(), labels, reduction=reduction, label_smoothing=label_smoothing)


def classification(select_by: str = "accuracy") -> Task:
    """Examples with one label each: cross-entropy, and all of `METRICS`."""
    return Task(cross_entropy, {name: resolve(METRICS, name, "metric") for name in METRICS}, select_by)
