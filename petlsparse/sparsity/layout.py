"""Layers that stay dense beside csr ones, in their memory layout (`csr_layer`): features first.

They compute what the ordinary layers do, on a view of the same numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn


class FeaturesFirstLinear(nn.Linear):
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


class ExamplesFirstConv2d(nn.Conv2d):
    """Examples-first always, as its library wants it; torch would copy with less speed where the input is not."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, out, oh, ow)."""
        return super().forward(_in_other_layout(x) if x.ndim == 4 and is_features_first(x) else x)


class _FeaturesFirstPool(nn.Module):
    """Features-first always: so, maxima take a twentieth of the time (measured), which pays for a copy if need be.

    With channels in the place of examples and examples in that of channels, features-first is channels-last, where
    torch pools many channels at a time.
    """

    def forward(self, x: Tensor) -> Any:
        """(B, C, h, w), with the first dimension fastest in memory, from (B, C, H, W)."""
        if x.ndim != 4:
            return super().forward(x)
        x = x if is_features_first(x) else _in_other_layout(x)
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class FeaturesFirstMaxPool2d(_FeaturesFirstPool, nn.MaxPool2d):
    """See `_FeaturesFirstPool`."""


class FeaturesFirstAvgPool2d(_FeaturesFirstPool, nn.AvgPool2d):
    """See `_FeaturesFirstPool`."""


def is_features_first(x: Tensor) -> bool:
    """Whether the first dimension is the fastest in memory."""
    return x.stride(0) == 1


class _OtherLayout(torch.autograd.Function):
    """From examples-first to features-first or back, and the gradient the other way round.

    Copies as matrices, which is up to twice as fast as torch does it in four dimensions.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.features_first = is_features_first(x)
        return _copied(x, features_first=not ctx.features_first)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _copied(gradient, features_first=ctx.features_first)


def _in_other_layout(x: Tensor) -> Tensor:
    switched: Tensor = _OtherLayout.apply(x)
    return switched


def _copied(x: Tensor, *, features_first: bool) -> Tensor:
    matrix = x.flatten(1)
    return (matrix.t().contiguous().t() if features_first else matrix.contiguous()).view(x.shape)


MATCHING: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: FeaturesFirstLinear,
    nn.Conv2d: ExamplesFirstConv2d,
    nn.MaxPool2d: FeaturesFirstMaxPool2d,
    nn.AvgPool2d: FeaturesFirstAvgPool2d,
}


def match_layout(model: nn.Module) -> None:
    """Give the layers that stay dense the memory layout that suits the csr ones."""
    for module in model.modules():
        if type(module) in MATCHING and not getattr(module, "return_indices", False):
            module.__class__ = MATCHING[type(module)]
