"""Loss and accuracy of a model over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlsparse.data.augment import normalise
from petlsparse.data.types import Split

EVALUATION_BATCH = 500
"""Images per evaluation batch (own choice). Fixed, so that a run's numbers do not depend on its training batch."""


class Score(NamedTuple):
    """Mean cross-entropy (nats) and accuracy (percent) over a split."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Score:
    """Score `model` on every image of `split` in evaluation mode; the model's own mode is restored."""
    was_training = model.training
    model.eval()
    device = split.labels.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, len(split), EVALUATION_BATCH):
        images = normalise(split.images[start : start + EVALUATION_BATCH], mean, std)
        labels = split.labels[start : start + EVALUATION_BATCH]
        with autocast():
            logits: Tensor = model(images)
        loss += functional.cross_entropy(logits.float(), labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    model.train(was_training)
    return Score(loss.item() / len(split), 100 * correct.item() / len(split))
