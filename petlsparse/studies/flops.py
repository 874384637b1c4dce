"""What a run costs: floating-point operations per example, counted from the operations that torch dispatches.

Matrix products, convolutions and attention; a multiplication and its addition are two. Norms, activations, biases, loss
and optimizer are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from petlsparse.sparsity.geometry import calls, evaluating

SMALL = 5_000_000
"""Parameters up to which one example is computed sooner than by the meta device, many of whose kernels are Python."""


class Flops(NamedTuple):
    """FLOPs of one example."""

    inference: int
    """Of a forward pass."""
    training: float
    """Of a forward and a backward pass, averaged over optimizer steps."""


def flops_per_example(
    model: nn.Module,
    input_shape: Sequence[int],
    active: Mapping[str, int] = MappingProxyType({}),
    *,
    dense_gradient_share: float = 0.0,
) -> Flops:
    """FLOPs of a model that computes with active weights only: forward, and back to whatever is trained.

    A large model runs on PyTorch's meta device, where nothing is computed; a small one computes one example. No weight
    is copied, no gradient kept. Attention is two products, without what fused kernels recompute backwards. A layer of n
    active weights of N costs n / N of the dense layer in its three products: output, input gradient, weight gradient.
    Where growth reads the gradient, an update needs that of all N (as in RigL, 1911.11134, appendix H, where 3 f_S also
    has the gradient of the images, which nobody computes).

    Args:
        model: as it is before any of its layers is replaced.
        input_shape: (C, H, W) of one example.
        active: layer name -> active weights; other layers are dense.
        dense_gradient_share: updates per optimizer step, if growth reads the gradient, else 0.
    """
    inference, training = _dense(model, input_shape)
    for name, called in calls(model, active, input_shape).items():
        weight = model.get_submodule(name).get_parameter("weight")
        for call in called:
            # Every weight is used once at each place of the output, in linear and convolutional layers alike.
            places = math.prod(call.output) // len(weight)
            saved = 2 * places * (weight.numel() - active[name])
            inference -= saved
            training -= (2 + call.needs_input_grad - dense_gradient_share) * saved
    return Flops(inference, training)


def _dense(model: nn.Module, input_shape: Sequence[int]) -> Flops:
    parameters = list(model.parameters())
    device = parameters[0].device if sum(p.numel() for p in parameters) <= SMALL else torch.device("meta")
    tensors = {
        name: tensor.detach().to(device).requires_grad_(tensor.requires_grad)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    image = torch.zeros((1, *input_shape), device=device, dtype=parameters[0].dtype)
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _conv_backward_flop})
    with evaluating(model), sdpa_kernel(SDPBackend.MATH), counter:
        logits = functional_call(model, tensors, (image,))
        inference = counter.get_total_flops()
        logits.sum().backward()
    return Flops(inference, counter.get_total_flops())


def _conv_backward_flop(
    gradient: list[int], x: list[int], weight: list[int], *options: Any, out_shape: object = None
) -> int:
    """Either gradient costs what the convolution does; torch's own count takes grouped ones for whole."""
    *_, transposed, _output_padding, _groups, wanted = options
    return int(conv_flop_count(x, weight, gradient, transposed) * sum(wanted[:2]))
