"""Values of the frozen network in place of images: the same logits and gradients, whoever computed them and when."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from petlsparse.adapters.models import PlacedAdapters, frozen_features
from petlsparse.backbones.stream import Context
from petlsparse.backbones.timm_streams import VisionTransformerStream

from .toys import WIDTH, images, placed, stir, tiny_stream

NODES, TOKENS = 7, 5
STREAM = tiny_stream()
pairs = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))
placements = st.lists(pairs, unique=True, max_size=8)

KINDS = {
    "linear probe": [],
    "parallel": [(j, j + 1) for j in range(NODES - 1)],
    "sequential": [(j, j) for j in range(NODES)],
    "last node alone": [(6, 6), (2, 6)],
    "long-range": [(0, 4), (1, 6)],
    "recurrent": [(6, 3), (5, 4)],
    "all at once": [(6, 2), (4, 2), (2, 2), (1, 2), (2, 5), (3, 6), (6, 6)],
}


def gradients(model: PlacedAdapters, logits: Tensor) -> list[Tensor]:
    labels = torch.arange(len(logits)) % 4
    trained = [p for p in model.parameters() if p.requires_grad]
    return list(torch.autograd.grad(F.cross_entropy(logits, labels), trained))


@given(placements)
def test_values_in_place_of_images_change_neither_logits_nor_gradients(edges: list[tuple[int, int]]) -> None:
    model = stir(placed(edges, STREAM))
    whole = model.frozen(images(6))
    values = {node: value[2:5] for node, value in whole.items()}
    from_images, from_values = model(images(6)[2:5]), model(values)
    torch.testing.assert_close(from_values, from_images, rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(gradients(model, from_values), gradients(model, from_images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("edges", KINDS.values(), ids=KINDS.keys())
def test_in_float32_values_of_another_batch_change_logits_by_less_than_a_hundred_thousandth(
    edges: list[tuple[int, int]],
) -> None:
    model = stir(placed(edges, tiny_stream())).float()
    pixels = images(64).float()
    whole = model.frozen(pixels)
    for start in range(0, 64, 7):
        part = slice(start, start + 7)
        ours, theirs = model({node: value[part] for node, value in whole.items()}), model(pixels[part])
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@given(st.sets(st.integers(0, NODES - 1), min_size=1), st.integers(0, NODES - 1))
def test_a_value_does_not_depend_on_which_others_are_asked_for(nodes: set[int], also: int) -> None:
    some, more = frozen_features(STREAM, images(), nodes), frozen_features(STREAM, images(), nodes | {also})
    assert all(torch.equal(more[node], value) for node, value in some.items())


@given(placements)
def test_of_the_last_node_only_the_class_token_is_kept_unless_an_edge_reads_it_all(
    edges: list[tuple[int, int]],
) -> None:
    model = placed(edges, STREAM)
    back = any(i == NODES - 1 > j for i, j in edges)
    shapes = {node: tuple(value.shape[1:]) for node, value in model.frozen(images()).items()}
    expected = dict.fromkeys(model.frozen_nodes, (TOKENS, WIDTH))
    if NODES - 1 in expected and not back:
        expected[NODES - 1] = (1, WIDTH)
    assert shapes == expected


def test_without_a_class_token_every_token_is_kept_and_pooled() -> None:
    stream = tiny_stream(class_token=False, global_pool="avg")
    model = stir(placed(KINDS["last node alone"], stream))
    values = model.frozen(images())
    assert values[NODES - 1].shape == (2, 4, WIDTH)
    u = values[NODES - 1]
    last = u + model.adapters["6->6"](u) + model.adapters["2->6"](values[2])
    torch.testing.assert_close(model(images()), model.head(stream.pool(last, None)), rtol=1e-12, atol=1e-12)


def test_cached_values_spare_every_frozen_sub_block_recurrent_edges_or_not() -> None:
    calls: Counter[int] = Counter()

    class Counting(VisionTransformerStream):
        def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
            calls[j] += 1
            return super().advance(j, x, context)

    stream = tiny_stream()
    stream.__class__ = Counting
    for edges in ([(3, 4), (4, 5)], [(6, 4), (5, 4)]):
        model = placed(edges, stream)
        values = model.frozen(images())
        calls.clear()
        model(values)
        assert calls == {5: 1, 6: 1}


@pytest.mark.parametrize("edges", KINDS.values(), ids=KINDS.keys())
def test_rounding_happens_where_values_are_handed_over_cached_or_not(edges: list[tuple[int, int]]) -> None:
    rounded = stir(placed(edges, STREAM, frozen_dtype=torch.bfloat16))
    exact = stir(placed(edges, STREAM))
    values = rounded.frozen(images())
    assert {value.dtype for value in values.values()} == {torch.bfloat16}
    by_hand = {node: value.bfloat16().double() for node, value in exact.frozen(images()).items()}
    assert torch.equal(rounded(images()), exact(by_hand))
    assert torch.equal(rounded(values), exact(by_hand))
    assert not torch.equal(rounded(images()), exact(images()))
