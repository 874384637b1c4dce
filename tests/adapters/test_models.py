"""The two-pass semantics against a brute-force twin, and what they promise: frozen below, exact, no extra work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.adapters.models import PlacedAdapters
from petlsparse.adapters.tuned import FullFinetuningModel
from petlsparse.backbones.stream import Context
from petlsparse.backbones.timm_streams import VisionTransformerStream
from petlsparse.errors import UserError

from .toys import CLASSES, WIDTH, generator, images, placed, stir, tiny_stream

NODES = 7
STREAM = tiny_stream()
LABELS = torch.tensor([1, 3])


# -- the twin: timm's blocks and the paper's equations written out, nothing shared with the code under test


def branch(vit: nn.Module, j: int, x: Tensor) -> Tensor:
    block = vit.blocks[(j - 1) // 2]
    return block.attn(block.norm1(x)) if j % 2 else block.mlp(block.norm2(x))


def adapt(weights: dict[str, Tensor], edge: str, x: Tensor) -> Tensor:
    w = {name: weights[f"adapters.{edge}.{name}"] for name in ("alpha", "down.weight", "up.weight")}
    normal = F.layer_norm(x, (WIDTH,), weights[f"adapters.{edge}.norm.weight"], weights[f"adapters.{edge}.norm.bias"])
    return w["alpha"] * (F.relu(normal @ w["down.weight"].T) @ w["up.weight"].T)


def twin(
    model: PlacedAdapters, edges: Iterable[tuple[int, int]], pixels: Tensor, *, feedback: bool = True
) -> tuple[list[Tensor], Tensor]:
    """All main-pass nodes and the logits, from two complete passes."""
    vit, weights = model.stream.vit, dict(model.named_parameters())
    embedding = vit._pos_embed(vit.patch_embed(pixels))
    base = [embedding]
    for j in range(1, NODES):
        base.append(base[-1] + branch(vit, j, base[-1]))
    base = [p.detach() for p in base]
    main: list[Tensor] = []
    for j in range(NODES):
        u = embedding if j == 0 else main[j - 1] + branch(vit, j, main[j - 1])
        writes = [
            adapt(weights, f"{i}->{target}", u if i == j else main[i] if i < j else base[i if feedback else j])
            for i, target in edges
            if target == j
        ]
        main.append(u + sum(writes))
    features = vit.norm(main[-1])[:, 0]
    return main, features @ weights["head.weight"].T + weights["head.bias"]


pairs = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))
placements = st.lists(pairs, unique=True, max_size=12)


@given(placements)
def test_logits_and_gradients_are_those_of_two_complete_passes(edges: list[tuple[int, int]]) -> None:
    model = stir(placed(edges, STREAM))
    logits = model(images())
    _, expected = twin(model, edges, images())
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    trained = [p for p in model.parameters() if p.requires_grad]
    for ours, theirs in zip(
        torch.autograd.grad(F.cross_entropy(logits, LABELS), trained),
        torch.autograd.grad(F.cross_entropy(expected, LABELS), trained),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


ALL_KINDS = [(6, 2), (4, 2), (2, 2), (1, 2), (0, 2), (2, 5), (1, 5), (5, 5), (3, 6), (6, 6), (6, 0), (0, 1)]


def test_many_writes_to_one_node_and_all_kinds_at_once() -> None:
    model = stir(placed(ALL_KINDS, STREAM))
    torch.testing.assert_close(model(images()), twin(model, ALL_KINDS, images())[1], rtol=1e-9, atol=1e-9)


def test_without_feedback_what_would_go_back_reads_the_first_pass_where_it_writes() -> None:
    for edges in (ALL_KINDS, [(6, 2), (4, 2)], [(5, 3), (3, 6), (2, 2)]):
        model = stir(placed(edges, STREAM, feedback=False))
        expected = twin(model, edges, images(), feedback=False)[1]
        torch.testing.assert_close(model(images()), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model.adapted(model.frozen(images())), expected, rtol=1e-9, atol=1e-9)
        assert not torch.equal(expected, twin(model, edges, images())[1])


def test_without_feedback_nothing_above_a_node_reaches_it() -> None:
    model, stream = stir(placed([(6, 2), (4, 0)], tiny_stream(), feedback=False)), tiny_stream()
    for parameter in stream.vit.blocks[1].parameters():  # between nodes 2 and 4
        nn.init.normal_(parameter, std=0.3, generator=generator(8))
    other = stir(placed([(6, 2), (4, 0)], stream, feedback=False))
    read = [each.frozen(images()) for each in (model, other)]
    assert read[0].keys() == read[1].keys() == {0, 2}
    assert all(torch.equal(read[0][node], read[1][node]) for node in (0, 2))


def test_without_feedback_a_placement_that_never_goes_back_is_refused() -> None:
    with pytest.raises(UserError, match="no edge of the placement is recurrent"):
        placed([(0, 1), (2, 2)], feedback=False)


@pytest.mark.parametrize("edge", [(5, 2), (1, 4)], ids=["recurrent", "long-range"])
def test_gradients_agree_with_finite_differences(edge: tuple[int, int]) -> None:
    model = stir(placed([edge], STREAM))

    def loss() -> Tensor:
        return F.cross_entropy(model(images()), LABELS)

    loss().backward()
    step = 1e-6
    for parameter in model.adapters.parameters():
        for index in range(0, parameter.numel(), 5):
            value = parameter.data.view(-1)[index].item()
            sides = []
            for shifted in (value + step, value - step):
                parameter.data.view(-1)[index] = shifted
                sides.append(loss().item())
            parameter.data.view(-1)[index] = value
            slope = (sides[0] - sides[1]) / (2 * step)
            assert parameter.grad.view(-1)[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


# -- what the semantics promise


@given(placements)
def test_fresh_adapters_anywhere_leave_the_frozen_logits_untouched(edges: list[tuple[int, int]]) -> None:
    model = placed(edges, STREAM)
    assert torch.equal(model(images()), model.head(STREAM(images())))


def test_an_edge_from_24_to_6_changes_nodes_from_6_on_and_none_before() -> None:
    stream = tiny_stream(depth=12)
    assert stream.nodes == 25
    seen: dict[int, list[Tensor]] = {}

    class Watched(VisionTransformerStream):
        def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
            seen.setdefault(j - 1, []).append(x)  # x is node j-1
            return super().advance(j, x, context)

    stream.__class__ = Watched
    model = stir(placed([(24, 6)], stream))
    with torch.no_grad():
        model(images())
        assert all(len(seen[k]) == 1 for k in range(6))  # below the write both passes are one
        changed = [k for k in range(6, 24) if not torch.allclose(*seen[k])]
    assert changed == list(range(6, 24))


class Counting(VisionTransformerStream):
    """Counts how often each sub-block runs."""

    calls: Counter[int]

    def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
        self.calls[j] += 1
        return super().advance(j, x, context)


def calls(edges: list[tuple[int, int]]) -> Counter[int]:
    stream = tiny_stream()
    stream.__class__ = Counting
    stream.calls = Counter()
    placed(edges, stream)(images())
    return stream.calls


def test_without_recurrent_edges_there_is_one_forward() -> None:
    once = Counter(range(1, NODES))
    assert calls([]) == once
    assert calls([(0, 1), (3, 3), (0, 6)]) == once


def test_any_number_of_recurrent_edges_costs_one_base_pass_from_first_write_to_highest_read() -> None:
    assert calls([(6, 0)]) == Counter(dict.fromkeys(range(1, NODES), 2))
    assert calls([(i, 0) for i in range(NODES)]) == calls([(6, 0)])
    assert calls([(4, 2), (3, 2), (4, 3)]) == Counter({1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1})


def test_the_base_pass_keeps_no_graph_and_nothing_but_what_is_read() -> None:
    model = stir(placed([(5, 2), (1, 4), (0, 6), (3, 6)], STREAM))
    frozen = model.frozen(images())
    assert sorted(frozen) == [0, 1, 2, 5]  # the start 2, sources below it, the recurrent source
    assert not any(value.requires_grad for value in frozen.values())


def test_below_the_lowest_write_no_graph_is_built() -> None:
    grads: dict[int, bool] = {}

    class Watching(VisionTransformerStream):
        def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
            y = super().advance(j, x, context)
            grads[j] = y.requires_grad
            return y

    stream = tiny_stream()
    stream.__class__ = Watching
    stir(placed([(0, 3), (4, 4)], stream))(images())
    assert grads == {1: False, 2: False, 3: False, 4: True, 5: True, 6: True}


def test_frozen_values_computed_before_give_the_same_logits() -> None:
    model = stir(placed(ALL_KINDS, STREAM))
    cached = {k: value.clone() for k, value in model.frozen(images(5)).items()}
    half = {k: value[2:4] for k, value in cached.items()}
    torch.testing.assert_close(model.adapted(half), model(images(5)[2:4]), rtol=1e-12, atol=1e-12)


def test_one_set_of_frozen_values_serves_several_placements() -> None:
    first, second = stir(placed([(6, 1), (2, 3)], STREAM)), stir(placed([(0, 4)], STREAM))
    wanted = set(first.frozen_nodes) | set(second.frozen_nodes)
    every = placed([(i, 0) for i in range(NODES)], STREAM).frozen(images())
    shared = {k: every[k] for k in wanted}
    for model in (first, second):
        assert torch.equal(model.adapted(shared), model(images()))


def test_training_leaves_the_backbone_bit_identical_and_moves_adapters_and_head() -> None:
    stream = tiny_stream()
    before, fingerprint = {k: v.clone() for k, v in stream.state_dict().items()}, stream.fingerprint
    model = placed(ALL_KINDS, stream).train()
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(images()), LABELS).backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in stream.state_dict().items())
    assert stream.fingerprint == fingerprint
    assert not any(module.training for module in stream.modules())
    assert all(not torch.equal(p, start[name]) for name, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("edges", [[], [(0, 1)], ALL_KINDS])
def test_trainable_are_the_adapters_and_the_head(edges: list[tuple[int, int]]) -> None:
    model = placed(edges, STREAM)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == len(edges) * (2 * WIDTH * 3 + 2 * WIDTH + 1) + WIDTH * CLASSES + CLASSES


def test_an_adapter_starts_alike_whatever_other_edges_exist() -> None:
    alone, among = placed([(4, 1)], STREAM), placed([(6, 0), (4, 1), (1, 4), (0, 0)], STREAM)
    assert torch.equal(alone.adapters["4->1"].down.weight, among.adapters["4->1"].down.weight)
    assert torch.equal(alone.head.weight, among.head.weight)
    downs = [adapter.down.weight for adapter in among.adapters.values()]
    assert all(not torch.equal(a, b) for n, a in enumerate(downs) for b in downs[:n])
    other = placed([(4, 1)], STREAM, generator=generator(99))
    assert not torch.equal(alone.adapters["4->1"].down.weight, other.adapters["4->1"].down.weight)


def test_the_order_in_which_edges_are_listed_changes_nothing() -> None:
    one, two = stir(placed(ALL_KINDS, STREAM)), stir(placed(ALL_KINDS[::-1], STREAM))
    assert torch.equal(one(images()), two(images()))


def test_a_linear_probe_is_a_placement_without_edges() -> None:
    model = placed([], STREAM)
    assert model.frozen_nodes == (NODES - 1,)
    F.cross_entropy(model(images()), LABELS).backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["head.weight", "head.bias"]


def test_impossible_edges_are_refused_when_placed() -> None:
    with pytest.raises(UserError, match="7->0"):
        placed([(7, 0)], STREAM)
    with pytest.raises(UserError, match="given 2 times"):
        placed([(1, 0), (1, 0)], STREAM)


def test_full_fine_tuning_trains_every_weight_and_starts_from_the_backbone() -> None:
    stream = tiny_stream(proj_drop_rate=0.5, drop_path_rate=0.5)
    features = stream(images())
    model = FullFinetuningModel(stream, CLASSES, head_generator=generator(4)).double().train()
    assert torch.equal(model(images()), model.head(features))  # no dropout, also in training
    F.cross_entropy(model(images()), LABELS).backward()
    assert all(p.grad is not None for p in model.parameters())
