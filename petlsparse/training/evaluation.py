"""Loss and accuracy of models over a whole split."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from petlsparse.training.loaders import Loader

if TYPE_CHECKING:
    from petlsparse.training.strategy import Strategy


class Score(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (percent) over a split."""

    loss: float
    accuracy: float

    @property
    def finite(self) -> bool:
        """Whether the loss is a number that training can go on from."""
        return math.isfinite(self.loss)


@torch.no_grad()
def evaluate(strategy: Strategy, loader: Loader) -> list[Score]:
    """Every member's score on all examples of `loader`, in evaluation mode; training mode is restored."""
    strategy.train(False)
    members, count, device = len(strategy.members), len(loader.labels), loader.labels.device
    first = torch.zeros(members, dtype=torch.int64, device=device)
    loss = torch.zeros(members, dtype=torch.float64, device=device)
    correct = torch.zeros(members, dtype=torch.int64, device=device)
    for start in range(0, count, strategy.evaluation_batch):
        part = slice(start, start + strategy.evaluation_batch)
        labels = loader.labels[part].expand(members, -1)
        with strategy.members[0].autocast():
            logits = strategy.logits(batched(loader.batch(part), 1), first)
        loss += strategy.losses(logits, labels, "sum")
        correct += (logits.argmax(-1) == labels).sum(1)
    strategy.train(True)
    return [Score(a / count, 100 * b / count) for a, b in zip(loss.tolist(), correct.tolist(), strict=True)]


def batched(inputs: Any, batches: int) -> Any:
    """Inputs of `batches` batches on end, (U * B, ...), as (U, B, ...); of each value if they are a dict."""
    if isinstance(inputs, dict):
        return {key: batched(value, batches) for key, value in inputs.items()}
    return inputs.unsqueeze(0) if batches == 1 else inputs.unflatten(0, (batches, -1))
