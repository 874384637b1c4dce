"""A csr convolution is torch's convolution with a masked weight: value, gradients, copies, export."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from petlsparse.sparsity.csr import Csr, convert, convertible, to_dense_state_dict
from petlsparse.sparsity.csr_conv import CsrConv2d
from petlsparse.sparsity.indices import indices_of


def sides(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


@given(
    channels=sides(1, 3),
    kernel=sides(1, 4),
    extra=sides(0, 4),
    stride=sides(1, 3),
    padding=sides(0, 3),
    batch=st.sampled_from([1, 2, 128]),
    density=st.sampled_from([0.0, 0.2, 1.0]),
    with_bias=st.booleans(),
    features_first=st.booleans(),
    seed=st.integers(0, 99),
)
def test_value_and_gradients_are_those_of_the_masked_convolution(
    channels: tuple[int, int],
    kernel: tuple[int, int],
    extra: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    batch: int,
    density: float,
    with_bias: bool,
    features_first: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    (inputs, outputs), image = channels, [k + e for k, e in zip(kernel, extra, strict=True)]
    weight = drawn(outputs, inputs, *kernel)
    mask = torch.rand(weight.shape, generator=generator) < density
    bias = nn.Parameter(drawn(outputs)) if with_bias else None
    sparse = CsrConv2d(weight, bias, indices_of(mask.flatten()), stride=stride, padding=padding)
    sparse.records = True
    x = drawn(batch, inputs, *image)
    x = (x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2) if features_first else x).requires_grad_()
    masked = (weight * mask).requires_grad_()

    ours, theirs = sparse(x), functional.conv2d(x, masked, bias, stride, padding)
    torch.testing.assert_close(ours, theirs)
    dy = drawn(*theirs.shape)
    found = torch.autograd.grad(ours, [x, *sparse.parameters()], dy)
    expected = torch.autograd.grad(theirs, [x, masked, *([bias] if bias is not None else [])], dy)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1][mask])
    torch.testing.assert_close(found[2:], expected[2:])
    torch.testing.assert_close(sparse.dense_gradient(), expected[1])
    torch.testing.assert_close(sparse.gradient(), expected[1][mask])


def test_a_convolution_unrolled_is_a_matrix_from_input_to_output_pixels() -> None:
    # One channel, kernel (1, 2) with weights 3 and 5, a row of three pixels, one zero on either side.
    layer = CsrConv2d(torch.tensor([[[[3.0, 5.0]]]]), None, torch.arange(2), padding=(0, 1))
    pattern = layer.make_pattern(1, 3)
    matrix = torch.sparse_csr_tensor(
        pattern.rows, pattern.columns, layer.values.detach()[pattern.value_index], pattern.shape, check_invariants=True
    )
    expected = torch.tensor([[5.0, 0, 0], [3, 5, 0], [0, 3, 5], [0, 0, 3]])
    torch.testing.assert_close(matrix.to_dense(), expected)


def layer_and_mask(seed: int = 0) -> tuple[CsrConv2d, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    mask = indices_of(torch.rand(weight.numel(), generator=generator) < 0.3)[:25]
    return CsrConv2d(weight, None, mask, padding=(1, 1)), weight, mask


def value(weight: Tensor, active: Tensor, x: Tensor) -> Tensor:
    kept = torch.zeros(weight.numel(), dtype=weight.dtype).index_put_((active,), weight.flatten()[active])
    return functional.conv2d(x, kept.view(weight.shape), padding=1)


def test_images_of_several_sizes_pass_through_one_layer() -> None:
    layer, weight, active = layer_and_mask()
    for height, width in ((5, 4), (4, 5), (5, 4)):
        x = torch.randn(2, 3, height, width, dtype=torch.float64)
        torch.testing.assert_close(layer(x), value(weight, active, x))


def test_a_change_of_topology_is_seen_by_the_layer_by_copies_and_after_loading() -> None:
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    (layer, _, _), (other, weight, active) = layer_and_mask(), layer_and_mask(1)
    layer(x)  # makes the index of the first topology
    copy, loaded = deepcopy(layer), deepcopy(layer)
    loaded(x)
    loaded.load_state_dict(other.state_dict())
    for changed in (layer, copy):
        changed.set_active(active)
        changed.values.data.copy_(weight.flatten()[active])
    for changed in (layer, copy, loaded, deepcopy(loaded)):
        torch.testing.assert_close(changed(x), value(weight, active, x))


def test_an_index_is_made_once_for_a_topology(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, _, active = layer_and_mask()
    made, make = [], layer.make_pattern
    monkeypatch.setattr(layer, "make_pattern", lambda *size: made.append(size) or make(*size))
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        layer(x).sum().backward()
    assert made == [(5, 5)]
    layer.set_active(active)
    layer(x).sum().backward()
    assert made == [(5, 5)] * 2


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        CsrConv2d(torch.ones(1, 1, 3, 3), None, torch.arange(9))(torch.ones(1, 1, 2, 5))


@pytest.mark.parametrize(
    ("settings", "possible"),
    [
        ({}, True),
        ({"stride": 2, "padding": (1, 0), "bias": False}, True),
        ({"padding": "valid"}, False),
        ({"padding": "same"}, False),
        ({"groups": 2}, False),
        ({"dilation": 2}, False),
        ({"padding": 1, "padding_mode": "circular"}, False),
    ],
)
def test_convolutions_are_convertible_without_groups_dilation_and_other_padding(
    settings: dict[str, Any], possible: bool
) -> None:
    assert convertible(nn.Sequential(nn.Conv2d(2, 4, 3, **settings))) == ["0"] * possible


def test_a_converted_convolution_computes_the_same_and_is_exported_as_it_was() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1)).double(), torch.randn(2, 2, 7, 6).double()
    mask = torch.rand(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    model[0].weight.data.mul_(mask)
    expected, y = {name: tensor.clone() for name, tensor in model.state_dict().items()}, model(x)
    layer = Csr(convert(model, "0", mask), updates=False)
    torch.testing.assert_close(model(x), y)
    assert torch.equal(layer.mask(), mask)
    exported = to_dense_state_dict(model.state_dict(), {"0": (4, 2, 3, 3)})
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[name], expected[name]) for name in expected)
