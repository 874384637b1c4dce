"""The loop against a plain twin, its hooks, its bookkeeping, and what it reads when."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch.nn import functional

from petlsparse.cohorts.models import Incompatible
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.tracking.progress import Progress
from petlsparse.training.evaluation import evaluate
from petlsparse.training.result import RunResult
from petlsparse.training.seeding import random_stream
from tests.training.toys import (
    MEAN,
    STD,
    CountingTest,
    Pruned,
    ToyMethod,
    looped,
    toy_dataset,
    toy_network,
    toy_training,
    train,
)


def twin_weights(steps: int, batch: int) -> list[torch.Tensor]:
    """The same training written out naively: own Nesterov momentum, own data order, own learning rates."""
    data, model = toy_dataset().train, toy_network()
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    done, epoch = 0, 0
    while done < steps:
        order = torch.randperm(50, generator=random_stream(7, "order", epoch)).tolist()
        for start in range(0, 50, batch):
            if done == steps:
                break
            chosen = order[start : start + batch]
            pixels = (data.images[chosen].float() / 255 - MEAN[0]) / STD[0]
            loss = functional.cross_entropy(model(pixels), data.labels[chosen])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            done += 1
            lr = 0.05 * (done / 2 if done <= 2 else 1 - (done - 3) / (steps - 2))
            with torch.no_grad():
                for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                    decayed = g + 1e-3 * p
                    v.mul_(0.9).add_(decayed)
                    p.sub_(lr * (decayed + 0.9 * v))
        epoch += 1
    return list(model.parameters())


def test_the_loop_trains_like_a_naive_twin_with_partial_last_batches() -> None:
    training = toy_training(steps=11, batch=16)  # 50 examples: three full batches and one of 2
    train(training)
    for ours, theirs in zip(training.model.parameters(), twin_weights(11, 16), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_hooks_come_in_order_around_every_step_and_after_every_epoch() -> None:
    training = toy_training(steps=5, batch=25)
    train(training)
    assert isinstance(training.method, ToyMethod)
    assert training.method.calls == [
        ("backward", 1), ("step", 1), ("backward", 2), ("step", 2), ("epoch", 1),
        ("backward", 3), ("step", 3), ("backward", 4), ("step", 4), ("epoch", 2),
        ("backward", 5), ("step", 5),
    ]  # fmt: skip


def test_rows_of_the_method_are_collected_once_each() -> None:
    result = train(toy_training(steps=5))
    assert result.rows == {"topology": [{"step": step} for step in range(1, 6)]}


def test_the_test_split_is_read_exactly_once_and_only_at_the_end() -> None:
    read_test = CountingTest()
    reads_seen: list[int] = []
    training = toy_training(
        dataset=toy_dataset(read_test=read_test), report=lambda _: reads_seen.append(read_test.reads)
    )
    train(training)
    assert set(reads_seen) == {0}
    assert read_test.reads == 1


def test_history_has_training_and_validation_rows_at_each_evaluation_and_one_test_row() -> None:
    result = train(toy_training(steps=10, evaluate_every=4))
    assert [(row[0], row[2], row[3]) for row in result.history if row[3] == "loss"] == [
        (4, "train", "loss"), (4, "val", "loss"), (8, "train", "loss"), (8, "val", "loss"),
        (10, "train", "loss"), (10, "val", "loss"), (10, "test", "loss"),
    ]  # fmt: skip


def test_best_is_the_first_of_the_highest_validation_accuracies_and_is_what_the_test_reports() -> None:
    training = toy_training(steps=40, evaluate_every=2, lr=0.4)
    result = train(training)
    accuracies = [(row[0], row[4]) for row in result.history if row[2:4] == ("val", "accuracy")]
    top = max(value for _, value in accuracies)
    first = next(step for step, value in accuracies if value == top)
    assert (result.metrics["best_step"], result.metrics["val_accuracy_best"]) == (first, top)
    assert first < 40, "the toy must not peak at its last step, or this test shows nothing"
    again = toy_training(steps=40, evaluate_every=2, lr=0.4)
    loop = looped(again)
    for epoch, batch in loop.batches():
        loop.step(epoch, batch)
        if again.state.step == first:
            break
    (score,) = evaluate(loop.strategy, again.read_test())
    assert score["accuracy"] == result.metrics["test_accuracy"]
    assert score["loss"] == result.metrics["test_loss"]


def test_without_validation_data_the_last_weights_are_reported() -> None:
    result = train(toy_training(dataset=toy_dataset(val=0)))
    assert result.metrics["test_accuracy"] == result.metrics["test_accuracy_last"]
    assert "val_accuracy_best" not in result.metrics


def test_reported_training_loss_is_the_mean_over_the_examples_seen() -> None:
    training = toy_training(steps=4, batch=16, evaluate_every=4, lr=1e-12)  # weights do not move
    result = train(training)
    data, model = toy_dataset().train, toy_network()
    pixels = (data.images.float() / 255 - MEAN[0]) / STD[0]
    expected = functional.cross_entropy(model(pixels), data.labels).item()
    assert math.isclose(result.metrics["train_loss_last"], expected, rel_tol=1e-5)


def test_divergence_is_a_result_that_keeps_its_history_and_never_reads_the_test_split() -> None:
    read_test = CountingTest()
    result = train(toy_training(steps=400, lr=1e12, dataset=toy_dataset(read_test=read_test)))
    assert result.status == "diverged"
    assert result.history
    assert read_test.reads == 0
    assert result.metrics["steps"] < 400


def test_bf16_autocast_stays_close_to_the_float32_reference() -> None:
    exact = train(toy_training(steps=20)).metrics["train_loss_last"]
    rounded = train(toy_training(steps=20, precision="bf16")).metrics["train_loss_last"]
    assert rounded != exact
    assert math.isclose(rounded, exact, rel_tol=0.05)


def test_augmentation_gets_its_own_stream_for_every_step() -> None:
    draws: list[int] = []

    def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        draws.append(int(torch.randint(10**9, (), generator=generator)))
        return images

    train(toy_training(steps=6, augment=augment))
    expected = [int(torch.randint(10**9, (), generator=random_stream(7, "augment", step))) for step in range(1, 7)]
    assert draws == expected
    assert len(set(draws)) == 6


def val_rows(result: RunResult) -> dict[int, tuple[float, ...]]:
    rows: dict[int, list[float]] = {}
    for step, _, split, _, value in result.history:
        if split == "val":
            rows.setdefault(step, []).append(value)
    return {step: tuple(values) for step, values in rows.items()}


def test_an_evaluation_due_where_weights_are_pruned_comes_right_before_that_step() -> None:
    seldom = toy_training(method=Pruned, steps=14, evaluate_every=4)
    often = toy_training(method=Pruned, steps=14, evaluate_every=1)
    rows, every = val_rows(train(seldom)), val_rows(train(often))
    assert list(rows) == [3, 7, 11, 14]
    assert list(every) == [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14]  # step 4's would have been a second one after step 3
    assert rows == {step: every[step] for step in rows}
    for ours, theirs in zip(seldom.model.parameters(), often.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)  # when it is scored changes nothing in how a network is trained


def test_every_evaluation_is_reported_when_it_is_made_with_its_own_step() -> None:
    told: list[Progress] = []
    result = train(toy_training(method=Pruned, steps=14, evaluate_every=4, report=told.append))
    evaluations = [each for each in told if each.evaluated]
    assert [(each.step, each.epoch) for each in evaluations] == [(3, 1), (7, 2), (11, 3), (14, 4)]
    of_val = {
        each.step: tuple(value for name, value in each.metrics.items() if name.startswith("val_"))
        for each in evaluations
    }
    assert of_val == val_rows(result)
    assert [each.step for each in told if not each.evaluated] == [*range(1, 15)]


def test_an_evaluation_that_ends_a_training_is_reported_too() -> None:
    told: list[Progress] = []
    result = train(toy_training(steps=400, lr=1e30, schedule=lambda step: float(step > 4), report=told.append))
    assert result.status == "diverged"
    assert told[-1].evaluated
    assert told[-1].step == result.metrics["steps"]
    assert not math.isfinite(told[-1].metrics["train_loss"])
    assert "val_loss_last" in result.metrics  # of an earlier evaluation, and so no part of this one
    assert list(told[-1].metrics) == ["train_lr", "train_loss", "train_accuracy"]


def test_the_best_weights_are_never_just_pruned_ones_but_the_last_are_scored_as_they_are() -> None:
    training = toy_training(method=Pruned, steps=8, evaluate_every=4)
    result = train(training)
    assert list(val_rows(result)) == [3, 8]
    assert result.metrics["best_step"] in (3, 8)
    pruned = [parameter.view(-1)[3:] for parameter in training.model.parameters()]
    assert all(not values.any() for values in pruned)  # the last step pruned, and these weights are the last ones
    assert result.metrics["val_loss_last"] == val_rows(result)[8][0]


def test_every_parameter_group_follows_the_schedule_from_its_own_learning_rate() -> None:
    def two_groups(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        *body, head = parameters
        return torch.optim.SGD([{"params": body}, {"params": [head], "lr": 0.0}], lr=0.1)

    training = toy_training(optimizer=two_groups, schedule=lambda step: 1 / step, steps=4)
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    used: list[tuple[float, ...]] = []
    training.report = lambda _: used.append(tuple(group["lr"] for group in training.optimizer.param_groups))
    result = train(training)
    assert used[:4] == [(0.1, 0.0), (0.05, 0.0), (0.1 / 3, 0.0), (0.025, 0.0)]
    moved = [not torch.equal(old, new) for old, new in zip(before, training.model.parameters(), strict=True)]
    assert moved == [True] * (len(moved) - 1) + [False]
    assert [row[4] for row in result.history if row[3] == "lr"] == [0.025]


def test_runs_that_group_their_parameters_in_other_ways_are_not_trained_as_one() -> None:
    def split(parameters: list[torch.nn.Parameter], *, first: bool) -> torch.optim.Optimizer:
        one, other = (parameters[:1], parameters[1:]) if first else (parameters[1:], parameters[:1])
        return torch.optim.SGD([{"params": one}, {"params": other, "lr": 0.5}], lr=0.1)

    schedule = functools.partial(float)
    members = [
        toy_training(optimizer=functools.partial(split, first=first), schedule=schedule) for first in (True, False)
    ]
    with pytest.raises(Incompatible, match="parameter groups"):
        StackedStrategy(members)
