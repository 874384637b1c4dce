"""Layers that stay dense in the company of csr ones, and follow their memory layout (`csr_layer`): features first.

They compute what the ordinary layers do, on a view of the same numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn


class FollowingLinear(nn.Linear):
    """Features-first like its input, where that is.

    The same product, told to BLAS the other way round. As `nn.Linear` has it, ten classes after a csr layer would take
    nine times as long (measured with MKL), and the gradient would reach that layer in an order that has to be copied.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., out)."""
        if x.ndim != 2 or x.stride(0) != 1:
            return super().forward(x)
        bias: Tensor | None = self._parameters["bias"]
        return (self.weight @ x.t() if bias is None else torch.addmm(bias[:, None], self.weight, x.t())).t()


class _FollowingPool(nn.Module):
    """Features-first always: pooling is that much faster so (some 25 times for maxima, measured) that a copy pays.

    With channels in the place of examples and examples in that of channels, features-first is channels-last, where
    torch pools many channels at a time.
    """

    def forward(self, x: Tensor) -> Any:
        """(B, C, h, w), with the first dimension fastest in memory, from (B, C, H, W)."""
        if x.ndim != 4:
            return super().forward(x)
        if x.stride(0) != 1:
            x = x.flatten(1).t().contiguous().t().view(x.shape)  # this copy is faster than one in four dimensions
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class FollowingMaxPool2d(_FollowingPool, nn.MaxPool2d):
    """See `_FollowingPool`."""


class FollowingAvgPool2d(_FollowingPool, nn.AvgPool2d):
    """See `_FollowingPool`."""


FOLLOWING: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: FollowingLinear,
    nn.MaxPool2d: FollowingMaxPool2d,
    nn.AvgPool2d: FollowingAvgPool2d,
}


def accompany(model: nn.Module) -> None:
    """Let the layers that stay dense follow the memory layout of the csr ones."""
    for module in model.modules():
        if type(module) in FOLLOWING and not getattr(module, "return_indices", False):
            module.__class__ = FOLLOWING[type(module)]
