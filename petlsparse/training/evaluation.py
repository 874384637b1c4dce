"""Loss and metrics of models over a whole split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from petlsparse.training.loaders import Loader

if TYPE_CHECKING:
    from petlsparse.training.strategy import Strategy

Evaluation: TypeAlias = Mapping[str, float]
"""The mean loss over a split as "loss", and metrics by their names."""


def is_finite(evaluation: Evaluation) -> bool:
    """Whether the loss is a number that training can go on from."""
    return math.isfinite(evaluation["loss"])


@torch.no_grad()
def evaluate(strategy: Strategy, loader: Loader) -> list[Evaluation]:
    """Every member's score on all examples of `loader`, in evaluation mode; training mode is restored."""
    strategy.train(False)
    task = strategy.members[0].task
    members, examples, device = len(strategy.members), len(loader.labels), loader.labels.device
    first = torch.zeros(members, dtype=torch.int64, device=device)
    loss = torch.zeros(members, dtype=torch.float64, device=device)
    counts: dict[str, Tensor] = {}
    for start in range(0, examples, strategy.evaluation_batch):
        part = slice(start, start + strategy.evaluation_batch)
        labels = loader.labels[part].expand(members, -1)
        with strategy.members[0].autocast():
            logits = strategy.logits(batched(loader.batch(part), 1), first)
        loss += strategy.losses(logits, labels, "sum")
        logits = logits.view(*labels.shape, -1)
        for name, metric in task.metrics.items():
            of_batch = metric.count(logits, labels)
            counts[name] = counts[name] + of_batch if name in counts else of_batch
    strategy.train(True)
    values = {name: metric.value(counts[name], examples).tolist() for name, metric in task.metrics.items()}
    means = [one / examples for one in loss.tolist()]
    return [{"loss": mean} | {name: of[i] for name, of in values.items()} for i, mean in enumerate(means)]


def batched(inputs: Any, batches: int) -> Any:
    """Inputs of `batches` batches on end, (U * B, ...), as (U, B, ...); of each value if they are a dict."""
    if isinstance(inputs, dict):
        return {key: batched(value, batches) for key, value in inputs.items()}
    return inputs.unsqueeze(0) if batches == 1 else inputs.unflatten(0, (batches, -1))
