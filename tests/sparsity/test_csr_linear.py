"""A csr layer is the masked linear layer in value and gradients, whichever kernel the size of the batch leads to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from petlsparse.sparsity.csr_linear import WIDE, CsrLinear
from petlsparse.sparsity.positions import positions


@pytest.mark.parametrize("batch", [1, 5, WIDE - 1, WIDE, WIDE + 3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_are_those_of_the_masked_layer(batch: int, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(batch)
    weight = torch.randn(7, 11, generator=generator, dtype=torch.float64)
    mask = torch.rand(7, 11, generator=generator) < 0.3
    mask[2] = False  # a row without active weights
    x = torch.randn(batch, 11, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64)) if with_bias else None
    sparse = CsrLinear(weight, bias, positions(mask.flatten()))
    masked = (weight * mask).requires_grad_()
    dy = torch.randn(batch, 7, generator=generator, dtype=torch.float64)

    ours, theirs = sparse(x), functional.linear(x, masked, bias)
    torch.testing.assert_close(ours, theirs)
    found = torch.autograd.grad(ours, [x, *sparse.parameters()], dy)
    expected = torch.autograd.grad(theirs, [x, masked, *([bias] if bias is not None else [])], dy)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1][mask])
    torch.testing.assert_close(found[2:], expected[2:])
