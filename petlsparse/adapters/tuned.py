"""What all models of adapter-search are: a pre-trained stream and a head."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from petlsparse.adapters.adapter import classification_head
from petlsparse.backbones.stream import ResidualStream


class TunedModel(nn.Module):
    """A stream and a head, adapted to a task."""

    stream: ResidualStream
    head: nn.Linear
    frozen_nodes: tuple[int, ...] = ()
    """Nodes of the frozen network, ascending, whose values may stand for images; none where it does not stay itself."""
    frozen_dtype: torch.dtype | None = None
    """What these values are rounded to; None leaves them."""
    pooled: bool = False
    """Whether of the last node, if it is among them, only the tokens that pooling reads are needed."""

    def forward(self, inputs: Any) -> Tensor:
        """Normalised images (B, C, H, W), or node -> values (B, T, d) at `frozen_nodes`, to logits (B, classes)."""
        logits: Tensor = self.head(self.stream(inputs))
        return logits


class FullFinetuningModel(TunedModel):
    """The whole stream and a head, trained. Still in evaluation mode: no dropout, no drop-path (own choice).

    Args:
        stream: not copied; its parameters are made trainable.
        classes: of the task.
        head_generator: source of the head.
    """

    def __init__(self, stream: ResidualStream, classes: int, *, head_generator: torch.Generator):
        super().__init__()
        self.stream = stream.requires_grad_(True)
        self.head = classification_head(stream.width, classes, head_generator)


def own_seed(seed: int, name: str) -> int:
    """The 63-bit seed of one part's initial weights: it depends on its name, and not on which others there are."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1
