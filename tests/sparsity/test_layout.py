"""Layers beside csr ones compute what they did before, in another order in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from petlsparse.sparsity.csr import convert, convertible
from petlsparse.sparsity.layout import is_features_first, match_layout

LAYERS = {
    "max": (lambda: nn.MaxPool2d(2), True),
    "overlapping max": (lambda: nn.MaxPool2d(3, stride=2, padding=1), True),
    "average": (lambda: nn.AvgPool2d(2), True),
    "convolution": (lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1), False),
}


def features_first(x: Tensor) -> Tensor:
    return x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("layer", LAYERS)
def test_value_and_gradients_stay_and_the_order_in_memory_is_the_layers_own(layer: str, batch: int) -> None:
    make, is_first = LAYERS[layer]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(make()).double()
        image = torch.randn(batch, 3, 7, 6, dtype=torch.float64).round(decimals=0)  # many maxima are not the only one
        plain = model(image.requires_grad_())
        dy = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, [image, *model.parameters()], dy)
    match_layout(model)
    for x in (image, features_first(image.detach()).requires_grad_()):
        y = model(x)
        assert batch == 1 or is_features_first(y) == is_first
        torch.testing.assert_close(y, plain)
        for slopes in (dy, features_first(dy)):
            found = torch.autograd.grad(y, [x, *model.parameters()], slopes, retain_graph=True)
            torch.testing.assert_close(found, expected)


def test_between_csr_layers_activations_and_gradients_need_no_copy() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = (nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 3, 2, padding=1), nn.ReLU())
        model = nn.Sequential(*parts, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))
        images = torch.randn(5, 1, 10, 10)
    layers = [convert(model, name, torch.ones(model[int(name)].weight.shape).bool()) for name in convertible(model)]
    match_layout(model)
    given: list[bool] = []
    apart: list[bool] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, inputs: given.append(is_features_first(inputs[0])))
        layer.register_forward_hook(
            lambda _, inputs, y: y.register_hook(lambda slopes: apart.append(is_features_first(slopes))) and None
        )
    model(images).square().sum().backward()
    assert given == [False, True, True]
    assert apart == [True, True, True]


def test_layers_that_answer_otherwise_and_subclasses_stay_as_they_are() -> None:
    class Own(nn.MaxPool2d):
        pass

    reflecting = nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")
    model = nn.Sequential(nn.MaxPool2d(2, return_indices=True), Own(2), reflecting)
    match_layout(model)
    assert [type(module) for module in model] == [nn.MaxPool2d, Own, nn.Conv2d]


def test_names_parameters_and_modes_stay() -> None:
    pool = nn.MaxPool2d(2)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), pool, nn.Flatten(), nn.Linear(8, 3), pool)
    model[3].eval()
    before = dict(model.named_parameters())
    match_layout(model)
    assert {name: id(parameter) for name, parameter in model.named_parameters()} == {
        name: id(parameter) for name, parameter in before.items()
    }
    assert [module.training for module in model] == [True, True, True, False, True]
    assert model[1] is model[4]
