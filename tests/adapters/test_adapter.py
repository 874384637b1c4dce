"""The adapter module: formula, size, initial weights, importance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from petlsparse.adapters.adapter import Adapter, classification_head
from petlsparse.errors import UserError

from .toys import generator


def stirred(**options: object) -> Adapter:
    adapter = Adapter(6, 2, generator=generator(), **options).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter, generator=generator(int(parameter.numel())))
    return adapter


@pytest.mark.parametrize(("width", "rank", "parameters"), [(768, 8, 13_825), (768, 16, 26_113), (96, 8, 1_729)])
def test_an_adapter_has_2dr_plus_2d_plus_1_parameters(width: int, rank: int, parameters: int) -> None:
    adapter = Adapter(width, rank, generator=generator())
    assert sum(p.numel() for p in adapter.parameters()) == 2 * width * rank + 2 * width + 1 == parameters


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"bias": True}, 2 * 6 * 2 + 12 + 1 + 2 + 6),
        ({"layer_norm": False}, 2 * 6 * 2 + 1),
        ({"scale_kind": "channel"}, 2 * 6 * 2 + 12 + 6),
        ({"scale_kind": "fixed"}, 2 * 6 * 2 + 12),
    ],
)
def test_options_add_and_remove_the_parameters_they_name(options: dict, parameters: int) -> None:
    assert sum(p.numel() for p in stirred(**options).parameters() if p.requires_grad) == parameters


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(
    ("activation", "scale_kind"), [("relu", "scalar"), ("gelu", "scalar"), ("gelu", "channel"), ("relu", "fixed")]
)
def test_an_adapter_computes_its_formula(activation: str, scale_kind: str, layer_norm: bool, bias: bool) -> None:
    adapter = stirred(activation=activation, layer_norm=layer_norm, bias=bias, scale_kind=scale_kind)
    assert adapter.alpha.shape == ((6,) if scale_kind == "channel" else ())
    x = torch.randn(3, 4, 6, generator=generator(9), dtype=torch.float64)
    p = dict(adapter.named_parameters())
    y = x
    if layer_norm:
        centred = x - x.mean(-1, keepdim=True)
        y = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * p["norm.weight"] + p["norm.bias"]
    y = y @ p["down.weight"].T + (p["down.bias"] if bias else 0)
    y = y.clamp_min(0) if activation == "relu" else 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
    y = p["alpha"] * (y @ p["up.weight"].T + (p["up.bias"] if bias else 0))
    torch.testing.assert_close(adapter(x), y)


def test_a_fresh_adapter_adds_nothing_and_has_the_stated_initial_weights() -> None:
    adapter = Adapter(96, 8, generator=generator(), bias=True, scale=0.5)
    assert not adapter(torch.randn(2, 3, 96, generator=generator(1))).any()
    assert not adapter.up.weight.any()
    assert not adapter.up.bias.any()
    assert not adapter.down.bias.any()
    assert adapter.alpha.item() == 0.5
    bound = 1 / math.sqrt(96)  # Kaiming-uniform with a = sqrt(5): sqrt(6 / ((1 + 5) * fan_in))
    assert adapter.down.weight.abs().max() <= bound
    assert adapter.down.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_other_initial_weights_draw_both_projections_as_stated_and_are_no_identity() -> None:
    drawn = {}
    for init in ("houlsby", "bert", "xavier"):
        adapter = Adapter(200, 100, generator=generator(), bias=True, init=init)
        assert adapter(torch.randn(2, 3, 200, generator=generator(1))).any()
        assert not adapter.up.bias.any()
        assert not adapter.down.bias.any()
        assert not torch.equal(adapter.down.weight, adapter.up.weight.T)
        drawn[init] = torch.stack([adapter.down.weight, adapter.up.weight.T]).detach()
    # A normal distribution cut at 2 sigma has 0.8796 of its standard deviation: 1 - 4 phi(2) / (2 Phi(2) - 1), rooted.
    assert drawn["houlsby"].abs().max() <= 0.02
    assert drawn["houlsby"].std().item() == pytest.approx(0.01 * 0.8796, rel=0.02)
    assert drawn["bert"].std().item() == pytest.approx(0.02, rel=0.02)
    assert drawn["bert"].abs().max() > 0.06
    bound = math.sqrt(6 / (200 + 100))
    assert drawn["xavier"].abs().max() <= bound
    assert drawn["xavier"].std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_dropout_drops_what_the_up_projection_reads_in_training_alone() -> None:
    adapter, x = stirred(dropout=0.5), torch.randn(50, 4, 6, generator=generator(9), dtype=torch.float64)
    whole = adapter.eval()(x)
    hidden = adapter.activation(adapter.down(adapter.norm(x)))
    adapter.train()
    torch.manual_seed(1)
    dropped = adapter(x)
    torch.manual_seed(1)
    kept = torch.empty_like(hidden).bernoulli_(0.5)
    torch.testing.assert_close(dropped, 2 * kept * hidden @ (adapter.alpha * adapter.up.weight).T)
    assert not torch.equal(dropped, whole)
    assert torch.equal(adapter.eval()(x), whole)


def test_initial_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (Adapter(6, 2, generator=generator(seed)) for seed in (1, 1, 2))
    head = classification_head(6, 3, generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.down.weight, two.down.weight)
    assert not torch.equal(one.down.weight, other.down.weight)
    assert torch.equal(head.weight, classification_head(6, 3, generator(1)).weight)


def test_alpha_has_no_gradient_at_the_start_and_one_after_the_first_update() -> None:
    adapter = Adapter(6, 2, generator=generator())
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    x, wanted = (torch.randn(3, 4, 6, generator=generator(seed)) for seed in (7, 8))
    for alpha_moves in (False, True):
        optimizer.zero_grad()
        F.mse_loss(adapter(x), wanted).backward()
        assert bool(adapter.alpha.grad) is alpha_moves
        assert adapter.up.weight.grad.any()
        optimizer.step()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": 0.0}, "must not be 0"),
        ({"rank": 0}, "at least 1"),
        ({"rank": 7}, "at most 6"),
        ({"activation": "rellu"}, "did you mean relu"),
        ({"init": "hulsby"}, "did you mean houlsby"),
        ({"scale_kind": "scaler"}, "did you mean scalar"),
    ],
)
def test_adapters_that_cannot_train_are_refused(options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Adapter(6, **{"rank": 2, "generator": generator(), **options})


def test_the_update_norm_is_that_of_the_whole_map() -> None:
    adapter = stirred()
    product = adapter.alpha * adapter.down.weight.T @ adapter.up.weight.T
    assert adapter.update_norm() == pytest.approx(torch.linalg.matrix_norm(product).item(), rel=1e-12)
    assert Adapter(6, 2, generator=generator()).update_norm() == 0
    channels = stirred(scale_kind="channel")
    product = channels.down.weight.T @ channels.up.weight.T * channels.alpha
    assert channels.update_norm() == pytest.approx(torch.linalg.matrix_norm(product).item(), rel=1e-12)


def test_the_head_is_small_random_without_bias() -> None:
    head = classification_head(500, 100, generator())
    assert head.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert head.weight.mean().item() == pytest.approx(0, abs=0.0005)
    assert not head.bias.any()
