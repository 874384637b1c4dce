"""Trainings as one: each has the result it has alone, in any cohort, and none suffers from another."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from petlsparse.cohorts.capture import CapturedStep
from petlsparse.cohorts.models import Incompatible, StackedModels
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.data.augment import crop_flip
from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import load_checkpoint
from petlsparse.training.loop import Loop
from petlsparse.training.member import Member
from petlsparse.training.method import StandardTraining
from petlsparse.training.optimizers import adam, sgd
from petlsparse.training.result import RunResult
from petlsparse.training.timer import Timer
from tests.training.toys import CountingTest, Pruned, looped, toy_dataset, toy_network, toy_split, toy_training, train


def decay(step: int) -> float:
    return 1 - step / 50


def other_schedule(step: int) -> float:
    return 0.5


def slow_sgd(parameters: list[nn.Parameter]) -> Optimizer:
    return sgd(parameters, lr=0.01, momentum=0.5, nesterov=False, weight_decay=0.0)


def adamw(parameters: list[nn.Parameter]) -> Optimizer:
    return adam(parameters, lr=3e-3, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1, kind=AdamW)


def grouped_sgd(parameters: list[nn.Parameter]) -> Optimizer:
    groups = [{"params": parameters[:-1], "weight_decay": 0.1}, {"params": parameters[-1:], "lr": 0.02}]
    return sgd(groups, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.0)


def grouped_adamw(parameters: list[nn.Parameter]) -> Optimizer:
    groups = [{"params": parameters[::2]}, {"params": parameters[1::2], "lr": 3e-2, "weight_decay": 0.0}]
    return adam(groups, lr=3e-3, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1, kind=AdamW)


def fast_adamw(parameters: list[nn.Parameter]) -> Optimizer:
    return adam(parameters, lr=1e-2, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1, kind=AdamW)


def convolutional(seed: int, *, norm: bool = False) -> nn.Module:
    torch.manual_seed(seed)
    between: nn.Module = nn.BatchNorm2d(5) if norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), between, nn.ReLU(), nn.Flatten(), nn.Linear(80, 3))


SETTINGS: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2},
    {"seed": 1, "network_seed": 5},  # sees the same batches as the first
    {"seed": 3, "optimizer": slow_sgd},
    {"seed": 4, "schedule": other_schedule},
    {"seed": 5, "optimizer": grouped_sgd},
    {"seed": 6, "optimizer": grouped_sgd},
]


def member(*, network_seed: int = 0, network: Callable[[int], nn.Module] | None = None, **options: Any) -> Member:
    made = toy_network(seed=network_seed) if network is None else network(network_seed)
    return toy_training(**{"schedule": decay, "method": StandardTraining} | options, network=made)


def train_together(trainings: Sequence[Member], **options: Any) -> list[RunResult]:
    results: dict[Member, RunResult] = {}

    def done(training: Member, result: RunResult) -> None:
        assert training not in results
        results[training] = result

    Loop(StackedStrategy(trainings), done=done, **options).run()
    return [results[training] for training in trainings]


def numbers(result: RunResult) -> list[Any]:
    return [*result.metrics.values(), *(row[4] for row in result.history)]


def weights(training: Member) -> list[Tensor]:
    return [tensor.clone() for tensor in training.model.state_dict().values()]


def assert_close(one: Sequence[Tensor], other: Sequence[Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


# -- the result it has alone -------------------------------------------------------------------------------------------


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


VARIANTS: dict[str, dict[str, Any]] = {
    "linear": {},
    "convolutional": {"network": convolutional},
    "batch norm": {"network": partial(convolutional, norm=True)},
    "augmented": {"augment": crop_flip},
    "smoothed labels": {"label_smoothing": 0.1},
    "bf16": {"precision": "bf16"},
}


def smoothed(training: Member, amount: float) -> Member:
    training.settings = replace(training.settings, label_smoothing=amount)
    return training


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_member_has_the_result_it_has_alone(variant: str) -> None:
    options = dict(VARIANTS[variant])
    amount = options.pop("label_smoothing", 0.0)
    alone = [smoothed(member(**one, **options), amount) for one in SETTINGS]
    members = [smoothed(member(**one, **options), amount) for one in SETTINGS]
    apart = [train(training) for training in alone]
    together = train_together(members)
    tolerance = 2e-2 if variant == "bf16" else 1e-4
    for one, other in zip(apart, together, strict=True):
        assert one.status == other.status == "done"
        assert [row[:4] for row in one.history] == [row[:4] for row in other.history]
        assert numbers(one) == pytest.approx(numbers(other), rel=tolerance, abs=tolerance)
    if variant != "bf16":
        for one, other in zip(alone, members, strict=True):
            assert_close(weights(one), weights(other))
    assert len({tuple(numbers(result)) for result in together}) == len(SETTINGS)  # they do differ


@pytest.mark.parametrize("kind", [(adamw, fast_adamw), (adamw, adamw)])
def test_adam_too(kind: tuple[Callable[..., Optimizer], ...]) -> None:
    alone = [member(seed=seed, optimizer=kind[seed % 2]) for seed in (1, 2, 3)]
    members = [member(seed=seed, optimizer=kind[seed % 2]) for seed in (1, 2, 3)]
    for training in alone:
        train(training)
    train_together(members)
    for one, other in zip(alone, members, strict=True):
        assert_close(weights(one), weights(other))
        for a, b in zip(one.optimizer.state.values(), other.optimizer.state.values(), strict=True):
            assert_close([a["exp_avg"], a["exp_avg_sq"], a["step"]], [b["exp_avg"], b["exp_avg_sq"], b["step"]])


def test_optimizers_may_differ_in_anything_but_their_type() -> None:
    kinds = [partial(sgd, lr=0.05, nesterov=False, **kind) for kind in ({"momentum": 0.9, "weight_decay": 0.0}, HEAVY)]
    alone = [member(seed=1, optimizer=kind) for kind in kinds]
    members = [member(seed=1, optimizer=kind) for kind in kinds]
    for training in alone:
        train(training)
    train_together(members)
    for one, other in zip(alone, members, strict=True):
        assert_close(weights(one), weights(other))


HEAVY = {"momentum": 0.0, "weight_decay": 0.1}


# -- in any cohort --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [slow_sgd, adamw, grouped_adamw])
@pytest.mark.parametrize("batch", [16, 17])
@pytest.mark.parametrize("width", [12, 7, 2])
def test_other_members_and_order_do_not_change_a_bit(
    optimizer: Callable[..., Optimizer], batch: int, width: int
) -> None:
    def odd(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 3))

    def made(seed: int) -> Member:
        return member(seed=seed, network_seed=seed, network=odd, optimizer=optimizer, batch=batch)

    expected = {seed: (made_alone := made(seed), *train_together([made_alone])) for seed in range(6)}
    for seeds in ([0, 1, 2, 3, 4, 5], [5, 0], [3, 1, 4], [2] * 3 + [0]):
        members = [made(seed) for seed in seeds]
        for seed, training, result in zip(seeds, members, train_together(members), strict=True):
            alone, its_result = expected[seed]
            assert numbers(result) == numbers(its_result)
            assert all(torch.equal(a, b) for a, b in zip(weights(training), weights(alone), strict=True))


def test_who_diverges_has_a_result_and_touches_nobody(tmp_path: Path) -> None:
    def made() -> list[Member]:
        fine = [member(seed=seed, evaluate_every=3) for seed in (1, 2)]
        wild = member(seed=3, evaluate_every=3, optimizer=partial(sgd, **WILD))
        return [fine[0], wild, fine[1]]

    results = train_together(made())
    assert [result.status for result in results] == ["done", "diverged", "done"]
    first, _, second = made()
    for expected, result in zip(train_together([first, second]), (results[0], results[2]), strict=True):
        assert numbers(expected) == numbers(result)
    assert results[1].metrics["steps"] == 3
    assert "test_accuracy" not in results[1].metrics


WILD = {"lr": 1e30, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}


def test_nobody_is_left_when_all_diverge() -> None:
    wild = [member(seed=seed, optimizer=partial(sgd, **WILD)) for seed in (1, 2)]
    assert [result.status for result in train_together(wild)] == ["diverged"] * 2


# -- stopping and going on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [slow_sgd, adamw, grouped_adamw])
@pytest.mark.parametrize("steps_before", [1, 5, 8])
def test_members_go_on_bit_identically_alone_or_together(
    optimizer: Callable[..., Optimizer], steps_before: int, tmp_path: Path
) -> None:
    def made(name: str | None, seed: int) -> Member:
        checkpoint = tmp_path / f"{name}-{seed}" if name else None
        return member(seed=seed, optimizer=optimizer, checkpoint=checkpoint)

    expected = train_together([made(None, seed) for seed in (1, 2, 3)])
    calls = iter([False] * (steps_before - 1) + [True])
    stopped = train_together([made("cut", seed) for seed in (1, 2, 3)], should_stop=lambda: next(calls))
    assert [result.status for result in stopped] == ["interrupted"] * 3

    def resumed(seed: int) -> Member:
        training = made("cut", seed)
        training.resume()
        assert training.state.step == steps_before
        return training

    results = [*train_together([resumed(1), resumed(2)]), *train_together([resumed(3)])]
    assert [numbers(result) for result in results] == [numbers(result) for result in expected]


def test_checkpoints_are_those_of_runs_alone_in_form(tmp_path: Path) -> None:
    alone = member(seed=1, checkpoint=tmp_path / "alone", checkpoint_every=4)
    members = [member(seed=seed, checkpoint=tmp_path / str(seed), checkpoint_every=4) for seed in (1, 2)]
    train(alone)
    train_together(members)
    ours, metadata = load_checkpoint(tmp_path / "1")
    theirs, expected = load_checkpoint(tmp_path / "alone")
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in theirs.items()}
    assert metadata.keys() == expected.keys()
    assert metadata["train_state"]["step"] == expected["train_state"]["step"] == 8


# -- the rest of the bargain -----------------------------------------------------------------------------------------


def test_the_test_split_is_read_once_for_all() -> None:
    test = CountingTest()
    dataset = toy_dataset(read_test=test)
    train_together([member(seed=seed, dataset=dataset) for seed in (1, 2, 3)])
    assert test.reads == 1


def test_hooks_of_every_member_are_called_as_alone() -> None:
    alone, members = toy_training(), [toy_training(seed=seed) for seed in (7, 8)]
    train(alone)
    results = train_together(members)
    for training, result in zip(members, results, strict=True):
        assert training.method.calls == alone.method.calls  # type: ignore[attr-defined]
        assert result.rows["topology"] == [{"step": step} for step in range(1, 13)]


def test_time_is_shared_and_reports_are_made() -> None:
    told: list[int] = []
    members = [member(seed=seed, report=lambda p: p.evaluated or told.append(p.step)) for seed in (1, 2, 3, 4)]
    results = train_together(members)
    assert told == list(range(1, 13))
    assert len({result.cost["wall_seconds"] for result in results}) == 1


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"steps": 20}, "lengths"),
        ({"batch": 8}, "lengths"),
        ({"precision": "bf16"}, "lengths"),
        ({"optimizer": adamw}, "optimizers"),
        ({"dataset": toy_dataset(train=40)}, "data"),
        ({"fingerprints": {"data": "other"}}, "data"),
        ({"augment": crop_flip}, "augmentations"),
        ({"network": convolutional}, "networks differ"),
        ({"dropout": 0.5}, "networks differ"),
    ],
)
def test_what_cannot_be_trained_as_one_is_told(other: dict[str, Any], why: str) -> None:
    first = toy_training()
    make_network = other.pop("network", None)
    second = toy_training(**other, network=make_network(0) if make_network else None)
    with pytest.raises(Incompatible, match=why):
        train_together([first, second])


def test_members_at_different_steps_are_refused() -> None:
    ahead = member(seed=1)
    loop = looped(ahead)
    loop.step(*next(loop.batches()))
    with pytest.raises(Incompatible, match="steps done"):
        train_together([ahead, member(seed=2)])


def test_dropout_and_layers_of_width_one_are_refused() -> None:
    for drops in (toy_network(dropout=0.5), nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout2d(0.5))):
        with pytest.raises(Incompatible, match="dropout"):
            StackedModels([drops])
    with pytest.raises(Incompatible, match="dropout"):  # seen when it draws
        StackedModels([nn.Sequential(nn.Linear(4, 3), Noise())])(torch.ones(1, 2, 4), torch.tensor([0]))
    for narrow in (nn.Linear(16, 1), nn.Linear(1, 16)):
        with pytest.raises(Incompatible, match="one row or column"):
            StackedModels([nn.Sequential(nn.Flatten(), narrow)])


def test_nothing_is_held_of_a_cohort_or_of_gradients_that_are_gone() -> None:
    stacked = StackedStrategy([member(seed=seed) for seed in (1, 2)])
    stacked.captured = CapturedStep()
    loop = Loop(stacked, done=lambda *_: None)
    loop.step(1, next(loop.batches())[1])
    gradients = [weakref.ref(parameter.rows.grad) for parameter in stacked.stack.parameters]
    for parameter in stacked.stack.parameters:
        parameter.rows.grad = None
    assert all(gradient() is None for gradient in gradients)
    whole = weakref.ref(loop)
    gc.disable()
    try:
        del loop, stacked
        assert whole() is None  # without waiting for the collector, which knows nothing of a GPU's memory
    finally:
        gc.enable()


def test_a_failed_recording_is_warned_of_before_results_are_told() -> None:
    told: list[str] = []
    members = [member(seed=seed) for seed in (1, 2)]
    stacked = StackedStrategy(members)
    stacked.captured = CapturedStep()
    stacked.captured.failure = "no reason"
    Loop(stacked, done=lambda *_: told.append("done"), warn=told.append).run()
    assert told == ["steps were not recorded as a CUDA graph: no reason", "done", "done"]


def test_only_full_batches_without_anything_due_are_recorded() -> None:
    """A record is of one shape, and of the same work every time."""
    members = [member(seed=seed, batch=16) for seed in (1, 2)]  # 50 examples: the last batch of an epoch has 2
    stacked = StackedStrategy(members)
    sizes: list[int] = []

    def captured(step: Callable[..., None], inputs: Tensor, labels: Tensor) -> None:
        sizes.append(labels.shape[1])
        step(inputs, labels)

    stacked.captured = captured  # type: ignore[assignment]
    loop = Loop(stacked, done=lambda *_: None)
    for epoch, chosen in loop.batches():
        loop.step(epoch, chosen)
    assert sizes == [16] * 9
    hooks = [toy_training(seed=seed) for seed in (1, 2)]  # their hooks are called at every step
    stacked = StackedStrategy(hooks)
    stacked.captured = captured  # type: ignore[assignment]
    loop = Loop(stacked, done=lambda *_: None)
    loop.step(*next(loop.batches()))
    assert len(sizes) == 9


def ticking() -> Timer:
    """A second passes whenever the clock is read."""
    seconds = count(0.0)
    return Timer(lambda: next(seconds))


def test_equal_members_have_equal_times_and_together_they_have_the_cohorts(tmp_path: Path) -> None:
    timer, results = ticking(), []
    members = [
        member(seed=seed, checkpoint=tmp_path / str(seed), checkpoint_every=2, evaluate_every=3) for seed in range(16)
    ]
    Loop(StackedStrategy(members), done=lambda _, result: results.append(result), timer=timer).run()
    for name in ("wall_seconds", "train_seconds", "examples_per_second"):
        assert len({result.cost[name] for result in results}) == 1
    assert results[0].cost["train_seconds"] > 0
    passed = timer.clock()
    assert sum(result.cost["wall_seconds"] for result in results) == pytest.approx(passed, abs=2)  # asked since


def test_after_a_divergence_time_is_shared_by_those_who_go_on() -> None:
    members = [member(seed=1), member(seed=2, optimizer=partial(sgd, **WILD))]
    loop = Loop(StackedStrategy(members), done=lambda *_: None, timer=ticking())
    loop.run()
    survivor = members[0].state
    before = survivor.seconds
    loop.timer.lap()
    assert survivor.seconds - before >= 1.0  # all of the time that passed, not half of it


def test_models_are_views_of_the_stack() -> None:
    models = [toy_network(seed=seed) for seed in (1, 2)]
    stack = StackedModels(models)
    images = toy_split(5, seed=1).images.float()
    expected = torch.stack([model(images) for model in models])
    torch.testing.assert_close(stack(images[None], torch.zeros(2, dtype=torch.int64)), expected)
    with torch.no_grad():
        for stacked in stack.parameters:
            stacked.rows[1] = 0
    assert all(not parameter.any() for parameter in models[1].parameters())
    assert all(parameter.any() for parameter in models[0].parameters())


def test_members_that_prune_are_evaluated_before_and_the_others_after_the_step_as_they_are_alone() -> None:
    methods = (Pruned, StandardTraining, Pruned)
    alone = [train(member(seed=seed, method=method)) for seed, method in enumerate(methods)]
    results = train_together([member(seed=seed, method=method) for seed, method in enumerate(methods)])
    for ours, theirs in zip(results, alone, strict=True):
        assert [row[:4] for row in ours.history] == [row[:4] for row in theirs.history]
        assert [row[4] for row in ours.history] == pytest.approx([row[4] for row in theirs.history], rel=1e-4)
    assert {row[0] for row in results[0].history} != {row[0] for row in results[1].history}


def test_every_member_reports_its_own_evaluations_as_it_does_alone() -> None:
    def made() -> list[tuple[Member, list[Progress]]]:
        kinds: list[dict[str, Any]] = [{"method": Pruned}, {}, {"optimizer": partial(sgd, **WILD)}]
        told: list[list[Progress]] = [[] for _ in kinds]
        return [(member(seed=seed, report=told[seed].append, **kind), told[seed]) for seed, kind in enumerate(kinds)]

    def evaluations(told: Sequence[Progress]) -> list[tuple[int, int, list[float]]]:
        return [(each.step, each.epoch, list(each.metrics.values())) for each in told if each.evaluated]

    members, alone = made(), made()
    train_together([training for training, _ in members])
    for (_, together), (training, apart) in zip(members, alone, strict=True):
        train(training)
        for (*where, values), (*place, expected) in zip(evaluations(together), evaluations(apart), strict=True):
            assert where == place
            assert values == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert [[step for step, *_ in evaluations(told)] for _, told in members] == [[3, 7, 12], [4, 8, 12], [4]]
