"""Where layers are: seen in a forward pass, and how many products that makes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from petlsparse.networks.convolutional import lenet5
from petlsparse.sparsity.csr import convertible
from petlsparse.sparsity.geometry import LayerGeometry, geometries


def test_a_layer_is_given_what_the_layers_before_it_leave() -> None:
    model = lenet5((1, 28, 28), 10)
    assert geometries(model, convertible(model), (1, 28, 28)) == {
        "conv1": LayerGeometry((20, 1, 5, 5), (28, 28), (1, 1), (0, 0), needs_input_grad=False),
        "conv2": LayerGeometry((50, 20, 5, 5), (12, 12), (1, 1), (0, 0)),
        "fc3": LayerGeometry((500, 800)),
        "fc4": LayerGeometry((10, 500)),
    }


def test_layers_that_are_not_named_or_never_called_are_nowhere() -> None:
    model = lenet5((1, 16, 16), 10)
    model.register_module("idle", nn.Linear(2, 2))
    model.forward = lambda x: model.fc4(torch.zeros(len(x), 500))  # type: ignore[method-assign]
    assert geometries(model, ["fc4", "idle"], (1, 16, 16)) == {"fc4": LayerGeometry((10, 500), needs_input_grad=False)}
    assert geometries(model, [], (1, 16, 16)) == {}


@pytest.mark.parametrize(
    ("geometry", "products"),
    [
        (LayerGeometry((500, 800)), 400_000),
        (LayerGeometry((50, 20, 5, 5), (12, 12), (1, 1), (0, 0)), 25_000 * 8 * 8),
        (LayerGeometry((4, 3, 3, 2), (7, 6), (2, 1), (1, 0)), 72 * 4 * 5),
    ],
)
def test_products_are_weights_times_output_pixels(geometry: LayerGeometry, products: int) -> None:
    assert geometry.products == products
