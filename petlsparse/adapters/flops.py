"""What a placement costs: floating-point operations per example, counted from the operations actually dispatched."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from petlsparse.adapters.models import FullFineTuning, PlacedAdapters


class Flops(NamedTuple):
    """FLOPs of one example; a multiplication and its addition are two."""

    inference: int
    training: int
    """Forward and backward, base pass included, without loss and optimizer."""


def flops_per_example(model: PlacedAdapters | FullFineTuning) -> Flops:
    """Count matrix products, convolutions and attention of one image's passes; norms and activations are left out.

    Runs on PyTorch's meta device: nothing is computed, no weight is copied, and a billion parameters take no longer
    than a thousand. Attention counts as two matrix products, without what fused kernels recompute backwards.
    """
    stream = model.stream
    meta = {
        name: tensor.detach().to("meta").requires_grad_(tensor.requires_grad)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    shape = (1, stream.channels, stream.image_size, stream.image_size)
    image = torch.empty(shape, device="meta", dtype=model.head.weight.dtype)
    with FlopCounterMode(display=False) as counter:
        logits = functional_call(model, meta, (image,))
        inference = counter.get_total_flops()
        logits.sum().backward()
    return Flops(inference, counter.get_total_flops())
