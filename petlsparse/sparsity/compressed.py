"""Sparse matrices in compressed rows on the CPU, and their products with activations.

A matrix is a pattern, which lasts from one topology update to the next, and the values of the moment.
"""

import warnings
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

with warnings.catch_warnings():  # torch mentions once per process that its CSR tensors are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), dtype=torch.float32, check_invariants=False)

WIDE = 128
"""Batches from this size on are left to torch's own kernel rather than MKL's (measured)."""


class CsrPattern:
    """Where a matrix (R, C) has its m entries, and which of a layer's n values each of them is.

    Args:
        rows: where each row begins among the entries, and where the last one ends, int32 (R + 1,).
        columns: column of each entry, int32 (m,), ascending within a row.
        value_index: the value that each entry is, int32 (m,); None where they are the values one by one.
        width: number C of columns.
    """

    def __init__(self, rows: Tensor, columns: Tensor, value_index: Tensor | None, width: int) -> None:
        self.rows, self.columns, self.value_index = rows, columns, value_index
        self.shape = len(rows) - 1, width

    def times(self, values: Tensor, x: Tensor) -> Tensor:
        """The product with a contiguous matrix: (R, B) from (C, B)."""
        matrix = self._matrix(values)
        product: Tensor = torch.sparse.mm(matrix, x, reduce="sum") if _by_torch(x.shape[1]) else matrix @ x
        return product

    def gradient(self, values: Tensor, dy: Tensor, x: Tensor) -> Tensor:
        """Of the values, (n,): the entries of dY X^T, summed per value, from dY (R, B) and X (C, B)."""
        sampled: Tensor = torch.sparse.sampled_addmm(self._matrix(values), dy, x.t(), beta=0).values()
        if self.value_index is None:
            return sampled
        return torch.zeros_like(values).index_add_(0, self.value_index, sampled)

    @cached_property
    def transposed(self) -> "CsrPattern":
        """That of the transposed matrix (C, R), made where it is first needed."""
        if self.value_index is None:
            value_index = np.arange(len(self.columns), dtype=np.int32)
        else:
            value_index = self.value_index.numpy()
        transposed = csr_array((value_index, self.columns.numpy(), self.rows.numpy()), shape=self.shape).tocsc()
        rows, columns, order = map(torch.from_numpy, (transposed.indptr, transposed.indices, transposed.data))
        return CsrPattern(rows, columns, order, self.shape[0])

    def _matrix(self, values: Tensor) -> Tensor:
        entries = values if self.value_index is None else values.index_select(0, self.value_index)
        return torch.sparse_csr_tensor(self.rows, self.columns, entries, self.shape, check_invariants=False)


def compressed(active: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """`rows` (height + 1,) and `columns` (n,) of a pattern, int32, from ascending indices (n,) in the matrix."""
    starts = torch.arange(0, (height + 1) * width, width)
    rows = torch.searchsorted(active, starts, out_int32=True)
    columns = active - starts[:-1].repeat_interleave(rows.diff(), output_size=len(active))
    return rows, columns.to(torch.int32)


def _by_torch(columns: int) -> bool:
    # It takes 64 columns at a time and beats MKL by up to a third in wide products; in narrow ones it is far slower.
    return columns >= WIDE or not torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
