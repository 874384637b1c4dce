"""Loss and accuracy of a model over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlsparse.training.feeds import Feed

EVALUATION_BATCH = 500
"""Examples per evaluation batch (own choice). Fixed, so that a run's numbers do not depend on its training batch."""


class Score(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (percent) over a split."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: nn.Module, feed: Feed, *, autocast: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Score:
    """Score `model` on every example of `feed` in evaluation mode; the model's own mode is restored."""
    was_training = model.training
    model.eval()
    count, device = len(feed.labels), feed.labels.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, count, EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        labels = feed.labels[part]
        with autocast():
            logits: Tensor = model(feed.batch(part))
        loss += functional.cross_entropy(logits.float(), labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    model.train(was_training)
    return Score(loss.item() / count, 100 * correct.item() / count)
