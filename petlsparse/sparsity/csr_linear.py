"""A linear layer that holds and computes with its active weights only."""

import torch
from torch import Tensor

from petlsparse.sparsity.compressed import CsrPattern
from petlsparse.sparsity.csr_layer import CsrLayer


class CsrLinear(CsrLayer):
    """x -> x W^T + b, for x of shape (..., in), with W of shape (out, in) in compressed sparse rows."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., out), with the last dimension slowest in memory."""
        return self.product(x.reshape(-1, self.width)).view(*x.shape[:-1], self.shape[0])

    def extra_repr(self) -> str:
        """Sizes."""
        out_features, in_features = self.shape
        active, bias = len(self.values), self.bias is not None
        return f"in_features={in_features}, out_features={out_features}, active={active}, bias={bias}"

    def make_pattern(self, *size: int) -> CsrPattern:
        """The weight itself, sharing memory."""
        return CsrPattern(self.rows, self.columns, None, self.width)

    def dense_gradient(self) -> Tensor:
        """Shape (out, in)."""
        total = torch.zeros(self.shape, dtype=self.values.dtype)
        for dy, x, _ in self._backward_passes:
            total.addmm_(dy, x.t())
        return total
