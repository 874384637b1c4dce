"""A csr layer is the masked linear layer in value and gradients, whichever kernel the size of the batch leads to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from petlsparse.sparsity.compressed import WIDE
from petlsparse.sparsity.csr_linear import CsrLinear
from petlsparse.sparsity.indices import indices_of
from petlsparse.sparsity.layout import FeaturesFirstLinear


@pytest.mark.parametrize("batch", [1, 5, WIDE - 1, WIDE, WIDE + 3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_are_those_of_the_masked_layer(batch: int, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(batch)
    weight = torch.randn(7, 11, generator=generator, dtype=torch.float64)
    mask = torch.rand(7, 11, generator=generator) < 0.3
    mask[2] = False  # a row without active weights
    x = torch.randn(batch, 11, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64)) if with_bias else None
    sparse = CsrLinear(weight, bias, indices_of(mask.flatten()))
    masked = (weight * mask).requires_grad_()
    dy = torch.randn(batch, 7, generator=generator, dtype=torch.float64)

    ours, theirs = sparse(x), functional.linear(x, masked, bias)
    torch.testing.assert_close(ours, theirs)
    found = torch.autograd.grad(ours, [x, *sparse.parameters()], dy)
    expected = torch.autograd.grad(theirs, [x, masked, *([bias] if bias is not None else [])], dy)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1][mask])
    torch.testing.assert_close(found[2:], expected[2:])


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 11), (1, 11), (2, 3, 11)])
def test_a_features_first_layer_is_the_linear_layer_in_its_layout(shape: tuple[int, ...], with_bias: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = FeaturesFirstLinear(nn.Linear(11, 7, bias=with_bias, dtype=torch.float64))
        rows, dy = torch.randn(shape, dtype=torch.float64), torch.randn(*shape[:-1], 7, dtype=torch.float64)
    for x in (rows.requires_grad_(), rows.detach().mT.contiguous().mT.requires_grad_()):
        y, expected = layer(x), functional.linear(x, layer.weight, layer.bias)
        assert y.stride() == (expected.stride() if x.is_contiguous() or x.ndim > 2 else (1, len(x)))
        torch.testing.assert_close(y, expected)
        found, right = (torch.autograd.grad(out, [x, *layer.parameters()], dy) for out in (y, expected))
        torch.testing.assert_close(found, right)
