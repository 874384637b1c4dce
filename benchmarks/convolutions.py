"""Could convolutions be truly sparse on the CPU? A layer's forward and backward pass, three ways.

Masked is what petlsparse does. Unfolded: a CSR weight (out, in k k) times the input's patches as columns, which have
to be gathered, and their gradients scattered. Unrolled: the convolution written out as a sparse matrix from all input
pixels to all output pixels, applied to a column per example; weights are repeated for every output pixel, their
gradients summed over these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from benchmarks.harness import Comparison, Contestant, Effort, compare
from benchmarks.mlp import BATCH

DENSITIES = (0.1, 0.05, 0.02, 0.01)


class Passed(NamedTuple):
    """What a forward and a backward pass give."""

    y: Tensor
    """(B, out, o, o)"""
    dx: Tensor
    """(B, in, side, side)"""
    dw: Tensor
    """(n,), of the active weights"""


@dataclass(frozen=True)
class Size:
    """A convolution without padding, of square images."""

    name: str
    inputs: int
    outputs: int
    kernel: int
    side: int

    @property
    def reach(self) -> int:
        """Side of the output."""
        return self.side - self.kernel + 1


SIZES = (
    Size("conv2 of lenet5", 20, 50, 5, 12),
    Size("conv2 of small-conv", 32, 64, 3, 15),
    Size("conv3 of small-conv", 64, 128, 3, 6),
)
QUICK = Size("a small convolution", 3, 4, 3, 6)


def run(effort: Effort) -> Iterator[Comparison]:
    """One table per layer and density."""
    for size in (QUICK,) if effort.quick else SIZES:
        for density in DENSITIES[-1:] if effort.quick else DENSITIES:
            work = Work(size, density, batch=8 if effort.quick else BATCH)
            shape = f"{size.inputs} to {size.outputs} channels, {size.kernel}x{size.kernel}, on {size.side}x{size.side}"
            yield compare(
                f"forward and backward of {size.name} ({shape}), batch {len(work.x)}, density {density:.0%}",
                [Contestant(name, way) for name, way in work.ways().items()],
                rounds=effort.rounds,
                notes=["sparse indices are at hand, as between two topology updates; no optimizer step, no masking"],
            )


class Work:
    """A layer with random active weights, an input and an output gradient."""

    def __init__(self, size: Size, density: float, *, batch: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.size = size
        self.x = torch.randn(batch, size.inputs, size.side, size.side, generator=generator)
        self.dy = torch.randn(batch, size.outputs, size.reach, size.reach, generator=generator)
        shape = (size.outputs, size.inputs * size.kernel**2)
        total = shape[0] * shape[1]
        active = torch.randperm(total, generator=generator)[: max(1, round(density * total))].sort().values
        self.active = active
        self.weight = torch.zeros(total).index_fill_(0, active, 1.0).mul_(torch.randn(total, generator=generator))
        self.weight = self.weight.view(size.outputs, size.inputs, size.kernel, size.kernel)

    def ways(self) -> dict[str, Callable[[], Passed]]:
        """The contestants, the reference first."""
        return {"masked": self.masked, "unfolded csr": Unfolded(self), "unrolled csr": Unrolled(self)}

    def masked(self) -> Passed:
        """A dense convolution over zeros."""
        x, weight = self.x.detach().requires_grad_(), self.weight.detach().requires_grad_()
        y = functional.conv2d(x, weight)
        dx, dw = torch.autograd.grad(y, [x, weight], self.dy)
        return Passed(y.detach(), dx, dw.view(-1)[self.active])


class Pattern:
    """A CSR matrix and its transpose, whose values are chosen anew at every step from those of the layer.

    Args:
        rows, columns: int (m,), of the entries.
        owners: int (m,), which of the layer's values each entry holds.
        shape: of the matrix.
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray, owners: np.ndarray, shape: tuple[int, int]) -> None:
        order = np.lexsort((columns, rows))
        starts = np.searchsorted(rows[order], np.arange(shape[0] + 1))
        matrix = csr_array((np.arange(len(order)), columns[order], starts), shape=shape)
        turned = matrix.tocsc()
        self.shape = shape
        self.index = [torch.from_numpy(part.astype(np.int32)) for part in (matrix.indptr, matrix.indices)]
        self.turned_index = [torch.from_numpy(part.astype(np.int32)) for part in (turned.indptr, turned.indices)]
        self.owners = torch.from_numpy(owners[order])
        self.turned_owners = self.owners[torch.from_numpy(turned.data)]

    def passed(self, values: Tensor, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """W X, W^T dY, and the entries of dY X^T where W has some."""
        rows, columns = self.shape
        w = _csr(self.index, values.index_select(0, self.owners), (rows, columns))
        turned = _csr(self.turned_index, values.index_select(0, self.turned_owners), (columns, rows))
        dw: Tensor = torch.sparse.sampled_addmm(w, dy, x.t(), beta=0).values()
        return torch.sparse.mm(w, x, reduce="sum"), torch.sparse.mm(turned, dy, reduce="sum"), dw


def _csr(index: list[Tensor], values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(*index, values, shape, check_invariants=False)


class Unfolded:
    """(out, in k k) @ (in k k, B o o)."""

    def __init__(self, work: Work) -> None:
        self.work, size = work, work.size
        patch = size.inputs * size.kernel**2
        active = work.active.numpy()
        self.pattern = Pattern(active // patch, active % patch, np.arange(len(active)), (size.outputs, patch))
        self.values = work.weight.flatten()[work.active]

    def __call__(self) -> Passed:
        """With input and output as a convolution's neighbours have them."""
        size, batch = self.work.size, len(self.work.x)
        patches = functional.unfold(self.work.x, size.kernel).transpose(0, 1).flatten(1)
        dy = self.work.dy.transpose(0, 1).flatten(1)
        y, dpatches, dw = self.pattern.passed(self.values, patches, dy)
        dx = functional.fold(
            dpatches.view(len(dpatches), batch, -1).transpose(0, 1), (size.side, size.side), size.kernel
        )
        return Passed(y.view(size.outputs, batch, size.reach, size.reach).transpose(0, 1).contiguous(), dx, dw)


class Unrolled:
    """(out o o, in side side) @ (in side side, B)."""

    def __init__(self, work: Work) -> None:
        self.work, size = work, work.size
        active = work.active.numpy()
        out, source, down, right = np.unravel_index(active, work.weight.shape)
        # One row per output pixel, one column per active weight.
        top, left = (place.reshape(-1, 1) for place in np.indices((size.reach, size.reach)))
        rows = (out * size.reach + top) * size.reach + left
        columns = (source * size.side + top + down) * size.side + left + right
        owners = np.broadcast_to(np.arange(len(active)), rows.shape)
        shape = (size.outputs * size.reach**2, size.inputs * size.side**2)
        self.pattern = Pattern(rows.ravel(), columns.ravel(), owners.ravel(), shape)
        self.values = work.weight.flatten()[work.active]

    def __call__(self) -> Passed:
        """With input and output as a convolution's neighbours have them."""
        x, dy = (tensor.flatten(1).t().contiguous() for tensor in (self.work.x, self.work.dy))
        y, dx, dw = self.pattern.passed(self.values, x, dy)
        return Passed(
            y.t().contiguous().view_as(self.work.dy),
            dx.t().contiguous().view_as(self.work.x),
            torch.zeros_like(self.values).index_add_(0, self.pattern.owners, dw),
        )
