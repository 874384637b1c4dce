"""Ranks of adapters and LoRA products: their own, or the largest that a budget allows; counted on real modules."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from petlsparse.adapters.adapter import Adapter, adapter_parameters
from petlsparse.adapters.lora import layer_ranks, target_layers
from petlsparse.adapters.ranks import largest_rank
from petlsparse.errors import UserError

from .test_lora import ALPHA, RANK, lora, products, stir
from .toys import WIDTH, generator, images, placed, tiny_stream
from .toys import stir as stir_adapters


def trained(model: nn.Module) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if p.requires_grad and not name.startswith("head."))


@pytest.mark.parametrize("scale_kind", ["scalar", "channel", "fixed"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_parameters_are_counted_as_an_adapter_has_them(layer_norm: bool, bias: bool, scale_kind: str) -> None:
    options: dict[str, Any] = {"layer_norm": layer_norm, "bias": bias, "scale_kind": scale_kind}
    for rank in (1, 5):
        assert adapter_parameters(12, rank, **options) == trained(Adapter(12, rank, generator=generator(), **options))


def test_the_largest_rank_within_a_budget_is_found_by_counting() -> None:
    for budget in range(30, 200):
        fitting = [rank for rank in range(1, 13) if 24 * rank + 6 <= budget]
        assert largest_rank(budget, lambda rank: 24 * rank + 6, 12) == max(fitting)
    with pytest.raises(UserError, match="with rank 1 there are 30") as caught:
        largest_rank(29, lambda rank: 24 * rank + 6, 12)
    assert caught.value.problems[0].where == "method.parameters"


def test_edges_have_ranks_of_their_own_and_the_weights_that_they_would_have_among_others() -> None:
    edges = [(0, 1), (6, 2), (3, 3)]
    mixed = stir_adapters(placed(edges, ranks={(6, 2): 5, (3, 3): 1}))
    assert mixed.ranks == [3, 1, 5]  # in the order of edges: 0->1, 3->3, 6->2
    assert trained(mixed) == sum(2 * WIDTH * rank + 2 * WIDTH + 1 for rank in (3, 1, 5))
    alone = placed([(6, 2)], rank=5)
    assert alone.adapters["6->2"].down.weight.equal(placed(edges, ranks={(6, 2): 5}).adapters["6->2"].down.weight)
    # What is added at a node is the sum over adapters: each computes by itself, whatever the ranks of others.
    for edge, rank in zip(mixed.edges, mixed.ranks, strict=True):
        assert mixed.adapters[str(edge)].down.weight.shape == (rank, WIDTH)
    assert mixed(images()).isfinite().all()


def test_ranks_of_edges_that_are_not_placed_or_above_the_width_are_refused() -> None:
    with pytest.raises(UserError, match="no edge of the placement"):
        placed([(0, 1)], ranks={(1, 2): 2})
    with pytest.raises(UserError, match="at most 12"):
        placed([(0, 1)], ranks={(0, 1): 13})


def test_lora_with_a_rank_for_each_layer_adds_products_of_that_rank_at_the_same_scale() -> None:
    model = stir(lora(ranks=[("blocks.1.attn.qkv", 1), ("proj", 7)]))
    by_hand = tiny_stream()
    ranks = {}
    for layer, (a, b) in products(model).items():
        ranks[layer] = len(a)
        by_hand.model.get_parameter(f"{layer}.weight").data += ALPHA / RANK * b.detach() @ a.detach()
    expected = {f"blocks.{block}.attn.qkv": RANK for block in range(3)} | {"blocks.1.attn.qkv": 1}
    assert ranks == expected | {f"blocks.{block}.attn.proj": 7 for block in range(3)}
    found, wanted = model(images()), model.head(by_hand(images()))
    assert (found - wanted).abs().max() < 1e-12 * wanted.abs().max()


def test_lora_within_a_budget_has_the_largest_rank_that_fits() -> None:
    each = 3 * (WIDTH + 3 * WIDTH + WIDTH + WIDTH)  # qkv and proj of three blocks, at rank 1
    for rank, more in ((1, 0), (4, each - 1), (12, 10**9)):
        model = lora(parameters=each * rank + more)
        assert set(model.ranks) == {rank}
        assert trained(model) == each * rank
        assert model.config.rank_pattern == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ranks": [("q_proj", 2)]}, "no targeted layer"),
        ({"ranks": [("qkv", 2), ("blocks.0.attn.qkv", 4)]}, "blocks.0.attn.qkv is given a rank twice"),
        ({"ranks": [("qkv", 13)]}, "above the size of blocks.0.attn.qkv, 12 to 36"),
        ({"rank": 13}, "above the size"),
        ({"parameters": 5}, "with rank 1 there are 216"),
    ],
)
def test_ranks_that_lora_cannot_have_are_refused(settings: dict[str, Any], says: str) -> None:
    stream = tiny_stream()
    names = target_layers(stream, ["qkv", "proj"])
    with pytest.raises(UserError, match=says):
        layer_ranks(stream, names, **{"rank": RANK, **settings})
