"""A layer that holds and computes with its active weights only: what linear layers and convolutions have in common.

Activations are kept features-first, (features, batch), which is what sparse products want, without the network around
the layer knowing: the layer returns the transpose of a contiguous (out, batch) tensor, elementwise functions keep its
strides, and the next such layer's transpose back is contiguous already. Only the first really copies.
"""

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from petlsparse.sparsity.compressed import CsrPattern, compressed


class BackwardPass(NamedTuple):
    """What a backward pass leaves behind."""

    dy: Tensor
    """(R, B)"""
    x: Tensor
    """(C, B)"""
    size: tuple[int, ...]
    """What `CsrLayer.pattern` was asked for."""


class CsrLayer(nn.Module, ABC):
    """A layer that is a product with a sparse matrix made of its weight.

    Not differentiable twice. Under autocast it computes in the type of its values all the same.

    Args:
        weight: (out, ...), of which the entries at `active` are copied.
        bias: (out,) or None; taken over as it is.
        active: indices of the active weights in the flattened weight, int64 (n,), ascending.

    Attributes:
        shape: that of the weight.
        values: the active weights, a parameter (n,), in the order of their indices.
        rows: where each output begins in `values`, and where the last one ends, a buffer (out + 1,), int32.
        columns: place of each active weight among those of its output, a buffer (n,), int32.
        records: whether to keep what `dense_gradient` needs from backward passes, until `free` is called.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, active: Tensor) -> None:
        super().__init__()
        self.shape = tuple(weight.shape)
        self.values = nn.Parameter(weight.detach().flatten()[active])
        self.bias = bias
        rows, columns = compressed(active, self.shape[0], self.width)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)
        self.records = False
        self._backward_passes: list[BackwardPass] = []
        self._patterns: dict[tuple[int, ...], CsrPattern] = {}
        self._pattern_of: tuple[Tensor, int] | None = None

    @property
    def width(self) -> int:
        """Number of weights of one output, active or not."""
        return math.prod(self.shape[1:])

    @abstractmethod
    def make_pattern(self, *size: int) -> CsrPattern:
        """The matrix for inputs of a size."""

    @abstractmethod
    def dense_gradient(self) -> Tensor:
        """Gradient of the whole weight, active or not, in its shape, summed over the recorded backward passes."""

    def product(self, x: Tensor, *size: int) -> Tensor:
        """X M^T + bias, (B, R), with the last dimension slowest in memory, from X (B, C) and the matrix of a size."""
        y: Tensor = _Product.apply(x, self.values, self.bias, self, size)
        return y

    def pattern(self, *size: int) -> CsrPattern:
        """`make_pattern`, kept from where it is first needed until the topology changes."""
        columns, version = self.columns, self.columns._version
        if self._pattern_of is None or self._pattern_of[0] is not columns or self._pattern_of[1] != version:
            self._patterns, self._pattern_of = {}, (columns, version)
        if size not in self._patterns:
            self._patterns[size] = self.make_pattern(*size)
        return self._patterns[size]

    def active(self) -> Tensor:
        """Indices of the active weights in the flattened weight, int64 (n,), ascending."""
        starts = torch.arange(0, self.shape[0] * self.width, self.width)
        return starts.repeat_interleave(self.rows.diff(), output_size=len(self.columns)) + self.columns

    @torch.no_grad()
    def set_active(self, active: Tensor) -> None:
        """Take on a topology, in place, with as many active weights as before; values stay as they are, in order."""
        rows, columns = compressed(active, self.shape[0], self.width)
        self.rows.copy_(rows)
        self.columns.copy_(columns)

    def check_topology(self) -> None:
        """Raises ValueError unless the buffers are a topology: products with other indices would read anywhere."""
        rows, columns = self.rows.long(), self.columns.long()
        whole = rows[0] == 0 and rows[-1] == len(columns) and bool((rows.diff() >= 0).all())
        within = bool(((columns >= 0) & (columns < self.width)).all())
        if not (whole and within and bool((self.active().diff() > 0).all())):
            raise ValueError("rows and columns that are no topology of the layer")

    def gradient(self) -> Tensor:
        """Gradient of the active weights, (n,), summed over the recorded backward passes."""
        values = self.values.detach()
        total = torch.zeros_like(values)
        for dy, x, size in self._backward_passes:
            total += self.pattern(*size).gradient(values, dy, x)
        return total

    def free(self) -> None:
        """Drop the records."""
        self._backward_passes.clear()

    def record(self, dy: Tensor, x: Tensor, size: tuple[int, ...]) -> None:
        """Remember a backward pass, if asked to."""
        if self.records:
            self._backward_passes.append(BackwardPass(dy, x, size))

    def __getstate__(self) -> dict[str, Any]:
        # Versions count from zero again in a copy: a pattern taken along could pass for that of another topology.
        return {**self.__dict__, "_patterns": {}, "_pattern_of": None, "_backward_passes": []}


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, batch: Tensor, values: Tensor, bias: Tensor | None, layer: CsrLayer, size: tuple[int, ...]
    ) -> Tensor:
        x = batch.t().to(values.dtype).contiguous()
        ctx.follows = batch.stride(0) == 1
        ctx.save_for_backward(x, values)
        ctx.layer, ctx.size, ctx.input_dtype = layer, size, batch.dtype
        with _no_autocast():
            y = layer.pattern(*size).times(values, x)
        if bias is not None:
            y.view(len(bias), -1).add_(bias[:, None])
        return y.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, values = ctx.saved_tensors
        layer: CsrLayer = ctx.layer
        pattern = layer.pattern(*ctx.size)
        dx = dvalues = dbias = None
        dy = gradient.t().to(values.dtype).contiguous()
        with _no_autocast():
            if ctx.needs_input_grad[0]:
                dx = pattern.transposed.times(values, dy).t().to(ctx.input_dtype)
                dx = dx if ctx.follows else dx.contiguous()
            if ctx.needs_input_grad[1]:
                dvalues = pattern.gradient(values, dy, x)
                layer.record(dy, x, ctx.size)
            if ctx.needs_input_grad[2]:
                dbias = dy.view(layer.shape[0], -1).sum(1)
        return dx, dvalues, dbias, None, None


def _no_autocast() -> AbstractContextManager[Any]:
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
