"""A convolution that holds its active weights only, and computes with them as one sparse matrix.

Unrolled, a convolution is a matrix from all input pixels to all output pixels, applied to one column per example. An
active weight is repeated for every output pixel, and its gradient is summed over these. The pattern has as many entries
as a forward pass of one example has products, some dozen bytes each.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from petlsparse.sparsity.compressed import CsrPattern
from petlsparse.sparsity.csr_layer import CsrLayer


class CsrConv2d(CsrLayer):
    """What `nn.Conv2d` does with a weight (out, in, kh, kw), for stride and zero padding; neither groups nor dilation.

    Args:
        weight, bias, active: see `CsrLayer`.
        stride: (rows, columns).
        padding: (rows, columns) of zeros on either side.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: nn.Parameter | None,
        active: Tensor,
        *,
        stride: tuple[int, ...] = (1, 1),
        padding: tuple[int, ...] = (0, 0),
    ) -> None:
        super().__init__(weight, bias, active)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, out, oh, ow), with the first dimension fastest in memory, from (B, in, H, W)."""
        batch, _, height, width = x.shape
        out = self.output_size(height, width)
        return self.product(x.flatten(1), height, width).view(batch, self.shape[0], *out)

    def extra_repr(self) -> str:
        """Sizes."""
        active, bias = len(self.values), self.bias is not None
        return f"{self.shape}, stride={self.stride}, padding={self.padding}, active={active}, bias={bias}"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(oh, ow) for inputs of this size. Raises ValueError where the kernel does not fit in."""
        rows, columns = (
            (side + 2 * margin - kernel) // step + 1
            for side, margin, kernel, step in zip(
                (height, width), self.padding, self.shape[2:], self.stride, strict=True
            )
        )
        if min(rows, columns) < 1:
            raise ValueError(f"a kernel of {self.shape[2:]} does not fit into {height}x{width} pixels")
        return rows, columns

    def make_pattern(self, *size: int) -> CsrPattern:
        """The matrix from input pixels (in H W) to output pixels (out oh ow), for inputs (H, W).

        A row has the active weights of its output channel, in order, without those that meet the padding.
        """
        height, width = size
        out = self.output_size(height, width)
        starts, pixels = self.rows.numpy(), math.prod(out)
        weights = np.unravel_index(self.columns.numpy(), self.shape[1:])
        source, down, right = (place.astype(np.int32) for place in weights)
        lengths = np.diff(starts).repeat(pixels)
        ends = np.concatenate(([0], lengths.cumsum())).astype(np.int32)
        # Entry by entry: which weight it is, and where in the input the kernel's corner lies.
        value_index = np.arange(ends[-1], dtype=np.int32) + (starts[:-1].repeat(pixels) - ends[:-1]).repeat(lengths)
        top, left = (
            np.tile((place.ravel() * step - margin).astype(np.int32), self.shape[0]).repeat(lengths)
            for place, step, margin in zip(np.indices(out), self.stride, self.padding, strict=True)
        )
        y, x = top + down[value_index], left + right[value_index]
        places = (source[value_index] * height + y) * width + x
        if any(self.padding):
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            ends = np.concatenate(([0], inside.cumsum(dtype=np.int32)))[ends].astype(np.int32)
            value_index, places = value_index[inside], places[inside]
        rows, columns = torch.from_numpy(ends), torch.from_numpy(places)
        return CsrPattern(rows, columns, torch.from_numpy(value_index), self.shape[1] * height * width)

    def dense_gradient(self) -> Tensor:
        """Shape (out, in, kh, kw)."""
        total = torch.zeros(self.shape, dtype=self.values.dtype)
        for dy, x, size in self._backward_passes:
            images = x.t().reshape(-1, self.shape[1], *size)
            slopes = dy.t().reshape(-1, self.shape[0], *self.output_size(*size))
            total += conv2d_weight(images, self.shape, slopes, self.stride, self.padding)  # type: ignore[no-untyped-call]
        return total
