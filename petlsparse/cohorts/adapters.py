"""Many adapters as batched matrix products; each keeps its parameters, which become rows of common tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from petlsparse.adapters.adapter import Adapter
from petlsparse.cohorts.parameters import stack_parameters


class Weights(NamedTuple):
    """What R adapters multiply by, everything that is linear folded in."""

    down: Tensor
    """(R, r, d)"""
    down_bias: Tensor | None
    """(R, r)"""
    up: Tensor
    """(R, d, r)"""
    up_bias: Tensor | None
    """(R, d)"""


class StackedAdapters:
    """E adapters of several models as one.

    Args:
        adapters: alike but for their weights, on one device. Their parameters become views of common tensors.
        members: whose each is, ascending; a model may have many.
    """

    def __init__(self, adapters: Sequence[Adapter], members: Sequence[int]) -> None:
        own = [dict(adapter.named_parameters()) for adapter in adapters]
        self.parameters = {name: stack_parameters([parameters[name] for parameters in own], members) for name in own[0]}
        """Parameter name -> that of all adapters."""
        self._activation = adapters[0].activation

    def weights(self, order: Tensor, counts: Sequence[int]) -> list[Weights]:
        """Weights of the adapters at `order`, int64 (R,), in groups of so many."""
        own = {name: stacked.whole() for name, stacked in self.parameters.items()}
        alpha, down, down_bias = own["alpha"], own["down.weight"], own.get("down.bias")
        if "norm.weight" in own:
            # (n * g + b) W = n (g * W) + b W: small matrices are scaled and shifted, not the many tokens.
            shift = (down * own["norm.bias"].unsqueeze(1)).sum(2)
            down_bias = shift if down_bias is None else down_bias + shift
            down = down * own["norm.weight"].unsqueeze(1)
        up = alpha.view(len(alpha), -1, 1) * own["up.weight"]
        up_bias = alpha.view(len(alpha), -1) * own["up.bias"] if "up.bias" in own else None

        def split(whole: Tensor | None) -> Sequence[Any]:
            return [None] * len(counts) if whole is None else torch.split(whole.index_select(0, order), list(counts))

        return list(map(Weights, split(down), split(down_bias), split(up), split(up_bias)))

    def __call__(self, weights: Weights, x: Tensor) -> Tensor:
        """What R adapters add, (R, N, d), each reading its own N tokens of x (R, N, d)."""
        if "norm.weight" in self.parameters:
            x = F.layer_norm(x, x.shape[-1:])
        return _products(self._activation(_products(x, weights.down, weights.down_bias)), weights.up, weights.up_bias)


def _products(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
