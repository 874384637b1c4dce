"""Linear layers of several models as one batched matrix product, whose gradients come as rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from petlsparse.cohorts.parameters import StackedParameter, empty_rows, unpadded


def stacked_linear(x: Tensor, weight: StackedParameter, bias: StackedParameter | None) -> Tensor:
    """(M, B, in) -> (M, B, out): every model's own layer on its own batch; under autocast in its type."""
    shape = weight.parameters[0].shape
    y: Tensor = _StackedLinear.apply(x, weight.rows, None if bias is None else bias.rows, shape)
    return y


class _StackedLinear(torch.autograd.Function):
    """Autograd's own would do the same, but its weight gradients would begin at any address."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, biases: Tensor | None, shape: torch.Size) -> Tensor:
        kind = x.device.type
        ctx.shape, ctx.types = shape, (x.dtype, weights.dtype)
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weights.dtype
        with torch.autocast(kind, enabled=False):
            x, weight = x.to(dtype), unpadded(weights, shape).to(dtype)
            ctx.save_for_backward(x, weight)
            if biases is None:
                return torch.bmm(x, weight.mT)
            return torch.baddbmm(unpadded(biases, shape[:1]).to(dtype).unsqueeze(1), x, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        x_type, rows_type = ctx.types
        dx = dweights = dbiases = None
        dy = dy.to(x.dtype)
        if ctx.needs_input_grad[0]:
            dx = torch.bmm(dy, weight).to(x_type)
        like = torch.empty((), dtype=rows_type, device=x.device)
        if ctx.needs_input_grad[1]:
            dweights = empty_rows(len(x), ctx.shape, like)
            if x.dtype == rows_type:
                torch.bmm(dy.mT, x, out=unpadded(dweights, ctx.shape))
            else:
                unpadded(dweights, ctx.shape).copy_(torch.bmm(dy.mT, x))
        if ctx.needs_input_grad[2]:
            dbiases = empty_rows(len(x), ctx.shape[:1], like)
            unpadded(dbiases, ctx.shape[:1]).copy_(dy.sum(1, dtype=rows_type))
        return dx, dweights, dbiases, None
