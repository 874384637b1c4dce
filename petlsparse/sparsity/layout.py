"""Layers that stay dense beside csr ones, in their memory layout (`csr_layer`): features first.

They compute what the ordinary layers do, with the same parameters, on a view of the same numbers.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlsparse.sparsity.replacement import replace_layer


class FeaturesFirstLinear(nn.Module):
    """Features-first like its input, where that is.

    The same product, told to BLAS the other way round. As `nn.Linear` has it, ten classes after a csr layer would take
    nine times as long (measured with MKL), and the gradient would reach that layer in an order that has to be copied.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear._parameters["bias"]

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., out)."""
        if x.ndim != 2 or x.stride(0) != 1:
            return functional.linear(x, self.weight, self.bias)
        return (self.weight @ x.t() if self.bias is None else torch.addmm(self.bias[:, None], self.weight, x.t())).t()


class ExamplesFirstConv2d(nn.Module):
    """Examples-first always, as its library wants it; torch would copy with less speed where the input is not."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv._parameters["bias"]
        self._options: Any = conv.stride, conv.padding, conv.dilation, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, out, oh, ow)."""
        x = _in_other_layout(x) if x.ndim == 4 and is_features_first(x) else x
        return functional.conv2d(x, self.weight, self.bias, *self._options)


class FeaturesFirstPool(nn.Module):
    """Features-first always: so, maxima take a twentieth of the time (measured), which pays for a copy if need be.

    With channels in the place of examples and examples in that of channels, features-first is channels-last, where
    torch pools many channels at a time.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w), with the first dimension fastest in memory, from (B, C, H, W)."""
        if x.ndim != 4:
            return cast("Tensor", self.pool(x))
        x = x if is_features_first(x) else _in_other_layout(x)
        pooled: Tensor = self.pool(x.transpose(0, 1))
        return pooled.transpose(0, 1)


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


MATCHING: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.Linear: FeaturesFirstLinear,
    nn.Conv2d: ExamplesFirstConv2d,
    nn.MaxPool2d: FeaturesFirstPool,
    nn.AvgPool2d: FeaturesFirstPool,
}


def match_layout(model: nn.Module) -> None:
    """Give the layers that stay dense the memory layout that suits the csr ones."""
    for module in list(model.modules()):
        odd = getattr(module, "return_indices", False) or getattr(module, "padding_mode", "zeros") != "zeros"
        if type(module) in MATCHING and not odd:
            replace_layer(model, module, MATCHING[type(module)](module))
