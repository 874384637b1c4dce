"""Placements computed as one: logits and gradients are those of each model alone, and nothing is done twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.adapters.importance import edge_rows
from petlsparse.adapters.models import PlacedAdapters, frozen_features
from petlsparse.backbones.stream import Context, ResidualStream
from petlsparse.backbones.timm_streams import VisionTransformerStream
from petlsparse.cohorts.models import Incompatible
from petlsparse.cohorts.placements import StackedPlacements
from tests.adapters.toys import CLASSES, WIDTH, generator, placed, tiny_stream

NODES = 7
STREAM = tiny_stream()

Edges = Sequence[tuple[int, int]]
PROBE: Edges = []
PARALLEL: Edges = [(j, j + 1) for j in range(NODES - 1)]
SEQUENTIAL: Edges = [(j, j) for j in range(NODES)]
LATE: Edges = [(3, 4), (0, 5), (4, 6)]
MIXED: Edges = [(6, 2), (4, 2), (2, 2), (1, 2), (2, 5), (3, 6), (6, 6), (5, 6)]
BACK: Edges = [(6, 0), (5, 3), (0, 4)]

COHORTS: dict[str, list[Edges]] = {
    "one alone": [MIXED],
    "seeds of one placement": [PARALLEL, PARALLEL, PARALLEL],
    "only linear probes": [PROBE, PROBE],
    "starting one after another": [LATE, PARALLEL, PROBE, BACK, [(6, 6)], SEQUENTIAL],
    "an edge read by some below their start": [[(3, 6), (5, 5)], [(3, 6), (1, 2)], [(3, 6), (2, 3)]],
    "several writes to a node": [MIXED, LATE, MIXED],
    "nobody at the lower nodes": [[(5, 6)], [(6, 6)], PROBE],
}


def members(
    cohort: Sequence[Edges], stream: ResidualStream = STREAM, first_seed: int = 10, **options: Any
) -> list[PlacedAdapters]:
    """Each with weights of its own, none at its initial value."""
    models = []
    for seed, edges in enumerate(cohort, start=first_seed):
        model = placed(edges, stream, generator=generator(seed), head_generator=generator(seed), **options)
        for parameter in model.adapters.parameters():
            nn.init.normal_(parameter, mean=0.2, std=0.5, generator=generator(seed))
        models.append(model)
    return models


def pictures(batches: int, count: int = 3) -> Tensor:
    return torch.randn(batches, count, 3, 4, 4, generator=generator(2), dtype=torch.float64)


def values_of(models: Sequence[PlacedAdapters], pixels: Tensor) -> dict[int, Tensor]:
    """The union of the members' frozen features (U, B, T, d), the last node whole."""
    nodes = {node for model in models for node in model.frozen_nodes}
    each = [frozen_features(models[0].stream, batch, nodes) for batch in pixels]
    return {node: torch.stack([values[node] for values in each]) for node in nodes}


def assert_as_alone(models: Sequence[PlacedAdapters], pixels: Tensor, of: Sequence[int], *, values: bool) -> None:
    stack = StackedPlacements(models)
    labels = torch.arange(3) % CLASSES
    logits = stack(values_of(models, pixels) if values else pixels, torch.tensor(of))
    sum(F.cross_entropy(own, labels) for own in logits).backward()
    found = {id(p): stacked.gradient()[k] for stacked in stack.parameters for k, p in enumerate(stacked.parameters)}
    trained = [[p for p in model.parameters() if p.requires_grad] for model in models]
    assert found.keys() == {id(p) for own in trained for p in own}
    for model, own, batch, together in zip(models, trained, of, logits, strict=True):
        alone = model(pixels[batch])
        torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
        for parameter, expected in zip(own, torch.autograd.grad(F.cross_entropy(alone, labels), own), strict=True):
            torch.testing.assert_close(found[id(parameter)], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("values", [False, True], ids=["images", "frozen features"])
@pytest.mark.parametrize("cohort", COHORTS.values(), ids=COHORTS.keys())
def test_logits_and_gradients_are_those_of_each_alone(cohort: list[Edges], values: bool) -> None:
    everyone = range(len(cohort))
    assert_as_alone(members(cohort), pictures(1), [0] * len(cohort), values=values)
    assert_as_alone(members(cohort), pictures(len(cohort)), list(everyone), values=values)
    assert_as_alone(members(cohort), pictures(2), [member % 2 for member in everyone], values=values)


pairs = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))
cohorts = st.lists(st.lists(pairs, unique=True, max_size=6), min_size=1, max_size=4)


@given(cohorts, st.data())
def test_so_they_are_for_any_placements_and_seeds(cohort: list[Edges], data: st.DataObject) -> None:
    batches = data.draw(st.integers(1, 3))
    of = data.draw(st.lists(st.integers(0, batches - 1), min_size=len(cohort), max_size=len(cohort)))
    assert_as_alone(members(cohort), pictures(batches), of, values=data.draw(st.booleans()))


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm": False},
        {"layer_norm": False, "bias": True},
        {"bias": True, "activation": "gelu", "rank": 1},
        {"rank": 5, "scale": -0.5},
        {"scale_kind": "channel", "bias": True, "init": "bert"},
        {"scale_kind": "fixed", "scale": 0.1, "bias": True},
    ],
    ids=str,
)
def test_so_they_are_for_every_kind_of_adapter(options: dict[str, Any]) -> None:
    assert_as_alone(members([LATE, MIXED, PROBE, MIXED], **options), pictures(2), [0, 1, 1, 0], values=True)


def test_so_they_are_where_all_tokens_are_pooled() -> None:
    stream = tiny_stream(class_token=False, global_pool="avg")
    for values in (True, False):
        assert_as_alone(members([LATE, MIXED, PROBE], stream), pictures(2), [0, 1, 1], values=values)


def test_a_last_node_reduced_to_what_is_pooled_serves_as_well_as_the_whole() -> None:
    models = members([PROBE, [(6, 6), (2, 6)]])
    stack, pixels = StackedPlacements(models), pictures(1)
    whole = values_of(models, pixels)
    reduced = {**whole, 6: whole[6][:, :, :1]}
    assert torch.equal(stack(reduced, torch.zeros(2, dtype=torch.int64)), stack(whole, torch.tensor([0, 0])))


def test_rounded_values_are_read_as_each_reads_them_alone() -> None:
    models = members([LATE, MIXED, PROBE], frozen_dtype=torch.bfloat16)
    stack, pixels = StackedPlacements(models), pictures(1)
    values = {node: value.bfloat16() for node, value in values_of(models, pixels).items()}
    for inputs in (pixels, values):
        for together, model in zip(stack(inputs, torch.tensor([0, 0, 0])), models, strict=True):
            torch.testing.assert_close(together, model(pixels[0]), rtol=1e-9, atol=1e-9)


def test_under_autocast_they_differ_from_each_alone_by_roundings_only() -> None:
    models = [model.float() for model in members([LATE, MIXED, PROBE], tiny_stream())]
    pixels = pictures(1, 40).float()
    exact = torch.stack([model(pixels[0]) for model in models])
    with torch.autocast("cpu", torch.bfloat16):
        alone = torch.stack([model(pixels[0]) for model in models]).float()
        together = StackedPlacements(models)(pixels, torch.tensor([0, 0, 0])).float()
    error, usual = (together - exact).square().mean(), (alone - exact).square().mean()
    assert 0 < error < 2 * usual


def test_parameters_of_members_are_rows_of_the_slots() -> None:
    models = members([[(1, 2), (3, 3)], PROBE, [(1, 2)]])
    parameters = {stacked.parameters[0].shape: stacked for stacked in StackedPlacements(models).parameters}
    alphas, heads = parameters[torch.Size([])], parameters[torch.Size([CLASSES, WIDTH])]
    assert (alphas.members, heads.members) == ((0, 0, 2), (0, 1, 2))
    norms = [row["value"] for row in edge_rows(models[2]) if row["score_name"] == "update_norm"]
    with torch.no_grad():
        alphas.rows[:, 0] = torch.tensor([0.5, -2.0, 3 * alphas.rows[2, 0].item()])
        heads.rows[1] = 7.0
    assert [row["value"] for row in edge_rows(models[0]) if row["score_name"] == "scale"] == [0.5, -2.0]
    assert models[2].adapters["1->2"].update_norm() == pytest.approx(3 * norms[0])
    assert [(model.head.weight == 7).all().item() for model in models] == [False, True, False]


def test_stacking_leaves_values_as_they_were() -> None:
    models, twins = members([MIXED, LATE]), members([MIXED, LATE])
    StackedPlacements(models)
    for model, twin in zip(models, twins, strict=True):
        for name, parameter in twin.named_parameters():
            assert torch.equal(model.get_parameter(name), parameter)


@pytest.mark.parametrize("cohort", [[MIXED, LATE, PROBE, MIXED], [PARALLEL, PARALLEL]], ids=["mixed", "alike"])
def test_what_is_no_number_stays_with_its_member(cohort: list[Edges]) -> None:
    models = members(cohort)
    stack, pixels = StackedPlacements(models), pictures(1)
    of = torch.zeros(len(models), dtype=torch.int64)
    before = stack(pixels, of)
    with torch.no_grad():
        for parameter in models[0].adapters.parameters():
            parameter.fill_(math.nan)
    after = stack(pixels, of)
    after.sum().backward()
    assert after[0].isnan().all()
    assert torch.equal(after[1:], before[1:])
    for stacked in stack.parameters:
        for member, gradient in zip(stacked.members, stacked.gradient(), strict=True):
            assert member == 0 or gradient.isfinite().all()


class Counting(VisionTransformerStream):
    """Writes down for how many images each sub-block ran, call by call."""

    calls: dict[int, list[int]]

    def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
        self.calls.setdefault(j, []).append(len(x))
        return super().advance(j, x, context)


def counting() -> Counting:
    stream = tiny_stream()
    stream.__class__ = Counting
    stream.calls = {}
    return stream


def test_a_sub_block_runs_once_for_all_who_have_started() -> None:
    stream = counting()
    models = members([LATE, PARALLEL, PROBE, LATE, [(6, 3)]], stream)  # they start at 4, 1, 6, 4 and 3
    stack = StackedPlacements(models)
    values = values_of(models, pictures(1, 3))
    stream.calls.clear()
    stack(values, torch.zeros(5, dtype=torch.int64))
    assert stream.calls == {2: [3], 3: [3], 4: [6], 5: [12], 6: [12]}  # 1, 1, 2, 4, 4 members of three images


def test_images_cost_one_frozen_pass_to_the_highest_node_anyone_needs() -> None:
    stream = counting()
    stack = StackedPlacements(members([LATE, [(3, 4)], [(4, 4)]], stream))  # all start at 4
    stack(pictures(2, 5), torch.tensor([0, 1, 0]))
    assert stream.calls == {1: [10], 2: [10], 3: [10], 4: [10], 5: [15], 6: [15]}  # two batches, then three members


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("backbones", {"stream": tiny_stream()}),
        ("precisions of frozen features", {"frozen_dtype": torch.bfloat16}),
        ("adapters", {"rank": 2}),
        ("adapters", {"bias": True}),
        ("adapters", {"layer_norm": False}),
        ("adapters", {"activation": "gelu"}),
        ("adapters", {"scale_kind": "channel"}),
        ("adapters", {"scale_kind": "fixed"}),
        ("ways of reading", {"feedback": False}),
    ],
    ids=str,
)
def test_models_that_differ_in_more_than_edges_and_weights_are_refused(what: str, other: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=f"their {what} differ"):
        StackedPlacements([*members([MIXED, PROBE]), *members([BACK], **other)])


def test_so_they_are_without_feedback_where_several_read_one_value() -> None:
    for values in (True, False):
        assert_as_alone(members([MIXED, BACK, [(5, 2), (6, 2)]], feedback=False), pictures(2), [0, 1, 1], values=values)


def test_adapters_with_dropout_are_refused_for_each_run_draws_from_its_own_stream() -> None:
    with pytest.raises(Incompatible, match="dropout"):
        StackedPlacements(members([MIXED, MIXED], dropout=0.1))


def test_heads_of_other_sizes_are_refused() -> None:
    wide = PlacedAdapters(STREAM, LATE, CLASSES + 1, generator=generator(), head_generator=generator()).double()
    with pytest.raises(Incompatible, match="their heads differ"):
        StackedPlacements([*members([LATE]), wide])
