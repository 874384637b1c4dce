"""Placements trained as one: each member's history and weights are those of its training alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from petlsparse.adapters.importance import edge_rows
from petlsparse.adapters.models import PlacedAdapters, frozen_features
from petlsparse.cohorts.placements import StackedPlacements
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.data.types import Split
from petlsparse.training.loaders import CachedFeatures, Images, Loader
from petlsparse.training.loop import Loop
from petlsparse.training.loop_settings import LoopSettings
from petlsparse.training.member import Member
from petlsparse.training.method import StandardTraining
from petlsparse.training.optimizers import OPTIMIZERS
from petlsparse.training.result import RunResult
from petlsparse.training.schedules import cosine, with_warmup
from petlsparse.training.seeding import random_stream as numbers
from tests.adapters.toys import CLASSES, tiny_stream
from tests.training.toys import train

NODES, STEPS = 7, 12
STREAM = tiny_stream()
CPU = torch.device("cpu")
SCHEDULE = with_warmup(cosine(final_fraction=0.1), total_steps=STEPS, warmup_steps=3)

PROBE: list[tuple[int, int]] = []
PARALLEL = [(j, j + 1) for j in range(NODES - 1)]
LATE = [(0, 5), (3, 4), (5, 6)]
MIXED = [(6, 2), (4, 2), (2, 2), (1, 2), (2, 5), (3, 6), (6, 6)]
RUNS = [(LATE, 1), (PARALLEL, 1), (PROBE, 2), (MIXED, 2), (MIXED, 3), ([(6, 6)], 1)]
"""Edges and seed."""


class DoubleImages(Images):
    """In float64, like the toy backbone."""

    def batch(self, which: Tensor | slice, generator: torch.Generator | None = None) -> Tensor:
        return super().batch(which, generator).double()


def split(count: int, seed: int) -> Split:
    """Random images; the label says which of the four patches is brightest."""
    source = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 4, 4), generator=source, dtype=torch.uint8)
    patches = images.float().unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((1, 3, 5))
    return Split(images, patches.flatten(1).argmax(1))


TRAIN, VAL, TEST = split(38, 1), split(20, 2), split(30, 3)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Some upside down."""
    some = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(some.view(-1, 1, 1, 1), images.flip(2), images)


def images_of(part: Split, augment: Callable[[Tensor, torch.Generator], Tensor] | None = None) -> Images:
    return DoubleImages(part, STREAM.mean, STREAM.std, augment)


def frozen_of(part: Split, models: Sequence[PlacedAdapters]) -> CachedFeatures:
    """The union of what models need; of the last node only what they all pool."""
    nodes = {node for model in models for node in model.frozen_nodes}
    pooled = all(model.pooled for model in models if NODES - 1 in model.frozen_nodes)
    values = frozen_features(STREAM, images_of(part).batch(slice(None)), nodes, pooled=pooled)
    return CachedFeatures(values, part.labels)


def model_of(edges: list[tuple[int, int]], seed: int) -> PlacedAdapters:
    sources = {"generator": numbers(seed, "adapters"), "head_generator": numbers(seed, "head")}
    return PlacedAdapters(STREAM, edges, CLASSES, rank=3, **sources).double()


def trainings(kind: str, *, folder: Path | None = None, lrs: Sequence[float] = (), **settings: Any) -> list[Member]:
    """Of RUNS; the loaders serve all of them."""
    models = [model_of(edges, seed) for edges, seed in RUNS]
    loaders: tuple[Loader, Loader]
    if kind == "frozen features":
        loaders = frozen_of(TRAIN, models), frozen_of(VAL, models)
    else:
        loaders = images_of(TRAIN, flip if kind == "augmented images" else None), images_of(VAL)
    return [
        training(model, loaders, seed, folder and folder / str(i), lr=lrs[i] if lrs else 0.02, **settings)
        for i, (model, (_, seed)) in enumerate(zip(models, RUNS, strict=True))
    ]


def training(
    model: PlacedAdapters,
    loaders: tuple[Loader, Loader],
    seed: int,
    checkpoint: Path | None,
    *,
    lr: float,
    **settings: Any,
) -> Member:
    method = StandardTraining(model)
    lengths = {"batch_size": 16, "total_steps": STEPS, "evaluate_every": 2, "checkpoint_every": 100}
    return Member(
        method,
        train=loaders[0],
        val=loaders[1],
        read_test=lambda: images_of(TEST),
        optimizer=OPTIMIZERS["adamw"](method.parameters(), lr=lr, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.05),
        schedule=SCHEDULE,
        settings=LoopSettings(**{**lengths, **settings}),
        seed=seed,
        device=CPU,
        checkpoint=checkpoint,
    )


def stack(models: Sequence[nn.Module]) -> StackedPlacements:
    return StackedPlacements([model for model in models if isinstance(model, PlacedAdapters)])


def trained_as_one(members: Sequence[Member], should_stop: Callable[[], bool] = lambda: False) -> list[RunResult]:
    results: dict[Member, RunResult] = {}
    Loop(StackedStrategy(members, stack=stack), done=results.__setitem__, should_stop=should_stop).run()
    return [results[member] for member in members]


def assert_alike(ours: Member, got: RunResult, theirs: Member, expected: RunResult) -> None:
    assert got.status == expected.status
    assert [row[:4] for row in got.history] == [row[:4] for row in expected.history]
    assert [row[4] for row in got.history] == pytest.approx([row[4] for row in expected.history], rel=1e-5, nan_ok=True)
    assert got.metrics == pytest.approx(expected.metrics, rel=1e-5, nan_ok=True)
    for one, other in ((ours.last_tensors, theirs.last_tensors), (ours.best_tensors, theirs.best_tensors)):
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lrs", [(), (0.01, 0.03, 0.03, 0.01, 0.03, 0.01)], ids=["one rate", "two rates"])
@pytest.mark.parametrize("kind", ["images", "augmented images", "frozen features"])
def test_each_member_becomes_what_it_becomes_alone(kind: str, lrs: tuple[float, ...]) -> None:
    alone, together = trainings(kind, lrs=lrs), trainings(kind, lrs=lrs)
    expected = [train(member) for member in alone]
    got = trained_as_one(together)
    for i in range(len(RUNS)):
        assert_alike(together[i], got[i], alone[i], expected[i])
        for row, other in zip(edge_rows(together[i].model), edge_rows(alone[i].model), strict=True):
            assert row.pop("value") == pytest.approx(other.pop("value"), rel=1e-5)
            assert row == other
    accuracies = [result.metrics["train_accuracy_last"] for result in expected]
    assert len(set(accuracies)) > 1  # members differ, so that mixing them up would show


def test_values_of_the_union_serve_as_well_as_each_ones_own() -> None:
    together = trainings("frozen features")
    got = trained_as_one(together)
    for i, (edges, seed) in enumerate(RUNS):
        model = model_of(edges, seed)
        alone = training(model, (frozen_of(TRAIN, [model]), frozen_of(VAL, [model])), seed, None, lr=0.02)
        assert_alike(together[i], got[i], alone, train(alone))


@pytest.mark.parametrize("as_one", [True, False], ids=["as one again", "each alone"])
def test_an_interrupted_cohort_goes_on(tmp_path: Path, as_one: bool) -> None:
    alone = trainings("frozen features")
    expected = [train(member) for member in alone]
    asked = iter([False] * 4 + [True])
    first = trained_as_one(trainings("frozen features", folder=tmp_path), should_stop=lambda: next(asked))
    assert {result.status for result in first} == {"interrupted"}
    rest = trainings("frozen features", folder=tmp_path)
    if as_one:
        for member in rest:
            member.resume()
            assert member.state.step == 5
        got = trained_as_one(rest)
    else:
        got = [train(member) for member in rest]
    for i in range(len(RUNS)):
        assert_alike(rest[i], got[i], alone[i], expected[i])


def test_one_that_diverges_takes_no_one_along() -> None:
    alone, together = trainings("images"), trainings("images")
    for members in (alone, together):
        with torch.no_grad():
            members[3].model.get_parameter("adapters.1->2.alpha").fill_(math.nan)
    expected = [train(member) for member in alone]
    got = trained_as_one(together)
    assert [result.status for result in got] == ["done"] * 3 + ["diverged"] + ["done"] * 2
    for i in range(len(RUNS)):
        assert_alike(together[i], got[i], alone[i], expected[i])
