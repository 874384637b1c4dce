"""Dropout whose mask does not depend on the order of its input in memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Dropout):
    """`nn.Dropout`, with the mask that it draws for a contiguous input whatever the strides of this one.

    torch draws in the order of memory. Truly sparse layers keep activations batch last, so that the same random numbers
    would drop others than in a masked network.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`; in evaluation mode `x` itself."""
        if not self.training:
            return x
        with torch.no_grad():
            factor = functional.dropout(torch.ones(x.shape, dtype=x.dtype, device=x.device), self.p)
        return x * factor
