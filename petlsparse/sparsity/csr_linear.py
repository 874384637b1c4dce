"""A linear layer that holds and computes with its active weights only: CSR products on the CPU.

Activations are kept features-first, (features, batch), which is what sparse products want, without the network around
the layer knowing: the layer returns the transpose of a contiguous (out, batch) tensor, elementwise functions keep its
strides, and the next such layer's transpose back is contiguous already. Only the first really copies.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

with warnings.catch_warnings():  # torch mentions once per process that its CSR tensors are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), dtype=torch.float32, check_invariants=False)

WIDE = 128
"""Batches from this size on are left to torch's own kernel rather than MKL's (measured)."""


class CsrLinear(nn.Module):
    """x -> x W^T + b, for x of shape (..., in), with W of shape (out, in) in compressed sparse rows.

    Not differentiable twice. Under autocast it computes in the type of its values all the same.

    Args:
        weight: (out, in), of which the entries at `active` are copied.
        bias: (out,) or None; taken over as it is.
        active: positions of the active weights in the flattened weight, int64 (n,), ascending.

    Attributes:
        values: the active weights, a parameter (n,), in the order of their positions.
        rows: where each row begins in `values`, and where the last one ends, a buffer (out + 1,), int32.
        columns: column of each active weight, a buffer (n,), int32.
        records: whether to keep what `dense_gradient` needs from backward passes, until `forget` is called.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, active: Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.values = nn.Parameter(weight.detach().flatten()[active])
        self.bias = bias
        rows, columns = compressed(active, self.out_features, self.in_features)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)
        self.records = False
        self._products: list[tuple[Tensor, Tensor]] = []
        self._transposed: _Transposed | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., out), with the last dimension slowest in memory."""
        y: Tensor = _Product.apply(x.reshape(-1, self.in_features), self.values, self.bias, self)
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Sizes."""
        active, bias = len(self.values), self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, active={active}, bias={bias}"

    def active(self) -> Tensor:
        """Positions of the active weights in the flattened weight, int64 (n,), ascending."""
        starts = torch.arange(0, self.out_features * self.in_features, self.in_features)
        return starts.repeat_interleave(self.rows.diff(), output_size=len(self.columns)) + self.columns

    @torch.no_grad()
    def set_active(self, active: Tensor) -> None:
        """Take on a topology, in place, with as many active weights as before; values stay as they are, in order."""
        rows, columns = compressed(active, self.out_features, self.in_features)
        self.rows.copy_(rows)
        self.columns.copy_(columns)

    def dense_gradient(self) -> Tensor:
        """Gradient of the whole weight, active or not, (out, in), summed over the recorded backward passes."""
        total = torch.zeros(self.out_features, self.in_features, dtype=self.values.dtype)
        for dy, x in self._products:
            total.addmm_(dy, x.t())
        return total

    def gradient(self) -> Tensor:
        """Gradient of the active weights, (n,), summed over the recorded backward passes."""
        total = torch.zeros_like(self.values, requires_grad=False)
        for dy, x in self._products:
            total += self.values_gradient(dy, x)
        return total

    def forget(self) -> None:
        """Drop the records."""
        self._products.clear()

    def record(self, dy: Tensor, x: Tensor) -> None:
        """Remember a backward pass, if asked to."""
        if self.records:
            self._products.append((dy, x))

    def pattern(self) -> Tensor:
        """W as a sparse tensor, sharing memory."""
        return _csr(self.rows, self.columns, self.values.detach(), (self.out_features, self.in_features))

    def values_gradient(self, dy: Tensor, x: Tensor) -> Tensor:
        """Those entries of dY X^T where W is active, (n,), from dY (out, B) and X (in, B)."""
        sampled: Tensor = torch.sparse.sampled_addmm(self.pattern(), dy, x.t(), beta=0)
        return sampled.values()

    def transposed(self) -> Tensor:
        """W^T as a sparse tensor of its own. Its index is made where it is first needed, and again after a change."""
        index, version = self._transposed, self.columns._version
        if index is None or index.source is not self.columns or index.version != version:
            shape, order = (self.out_features, self.in_features), np.arange(len(self.columns), dtype=np.int32)
            turned = csr_array((order, self.columns.numpy(), self.rows.numpy()), shape=shape).tocsc()
            arrays = (turned.indptr, turned.indices, turned.data)
            self._transposed = index = _Transposed(self.columns, version, *map(torch.from_numpy, arrays))
        values = self.values.detach().index_select(0, index.order)
        return _csr(index.rows, index.columns, values, (self.in_features, self.out_features))

    def __getstate__(self) -> dict[str, Any]:
        # Versions count from zero again in a copy: an index taken along could pass for that of another topology.
        return {**self.__dict__, "_transposed": None, "_products": []}


class FollowingLinear(nn.Linear):
    """A dense linear layer in the company of csr ones: features-first like its input, where that is.

    The same product, told to BLAS the other way round. As `nn.Linear` has it, ten classes after a csr layer would take
    nine times as long (measured with MKL), and the gradient would reach that layer in an order that has to be copied.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., out)."""
        if x.ndim != 2 or x.stride(0) != 1:
            return super().forward(x)
        bias: Tensor | None = self._parameters["bias"]
        return (self.weight @ x.t() if bias is None else torch.addmm(bias[:, None], self.weight, x.t())).t()


class _Transposed(NamedTuple):
    """The index of W^T, and of which state of which tensor it was made."""

    source: Tensor
    version: int
    rows: Tensor
    columns: Tensor
    order: Tensor
    """Where the values of W^T stand among those of W."""


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, batch: Tensor, values: Tensor, bias: Tensor | None, layer: CsrLinear) -> Tensor:
        x = batch.t().to(values.dtype).contiguous()
        ctx.save_for_backward(x, values)
        ctx.layer, ctx.input_dtype = layer, batch.dtype
        with _no_autocast():
            y = _times(layer.pattern(), x)
        return (y if bias is None else y.add_(bias[:, None])).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, values = ctx.saved_tensors
        dx = dvalues = dbias = None
        dy = gradient.t().to(values.dtype).contiguous()
        with _no_autocast():
            if ctx.needs_input_grad[0]:
                dx = _times(ctx.layer.transposed(), dy).t().to(ctx.input_dtype)
            if ctx.needs_input_grad[1]:
                dvalues = ctx.layer.values_gradient(dy, x)
                ctx.layer.record(dy, x)
            if ctx.needs_input_grad[2]:
                dbias = dy.sum(1)
        return dx, dvalues, dbias, None


def compressed(active: Tensor, out_features: int, in_features: int) -> tuple[Tensor, Tensor]:
    """`rows` (out + 1,) and `columns` (n,) of a `CsrLinear`, int32, from ascending positions (n,)."""
    starts = torch.arange(0, (out_features + 1) * in_features, in_features)
    rows = torch.searchsorted(active, starts, out_int32=True)
    columns = active - starts[:-1].repeat_interleave(rows.diff(), output_size=len(active))
    return rows, columns.to(torch.int32)


def _times(sparse: Tensor, dense: Tensor) -> Tensor:
    """The product of a CSR tensor (n, m) and a contiguous one (m, B)."""
    product: Tensor = torch.sparse.mm(sparse, dense, reduce="sum") if _by_torch(dense.shape[1]) else sparse @ dense
    return product


def _by_torch(columns: int) -> bool:
    # It takes 64 columns at a time and beats MKL by up to a third in wide products; in narrow ones it is far slower.
    return columns >= WIDE or not torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]


def _csr(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)


def _no_autocast() -> AbstractContextManager[Any]:
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
