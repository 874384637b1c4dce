"""Metrics against their definitions written out example by example, and against scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor

from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.data.types import Split
from petlsparse.metrics import METRICS
from petlsparse.registry import resolve
from petlsparse.tracking.tables import MEASURES, RUNS
from petlsparse.training.evaluation import evaluate
from petlsparse.training.loaders import Images
from petlsparse.training.strategy import SingleStrategy
from petlsparse.training.task import classification
from tests.training.toys import MEAN, STD, toy_network, toy_split, toy_training, train


def value(name: str, predictions: Sequence[Sequence[int]], labels: Sequence[int], classes: int, batch: int) -> Tensor:
    """The metric of models that predict so, over batches of some size."""
    metric = resolve(METRICS, name, "metric")
    logits = torch.nn.functional.one_hot(torch.tensor(predictions), classes).float()
    of_all = torch.tensor(labels).expand(len(predictions), -1)
    counts = [metric.count(*each) for each in zip(logits.split(batch, dim=1), of_all.split(batch, dim=1), strict=True)]
    found: Tensor = metric.value(torch.stack(counts).sum(0), len(labels))
    return found


def brute_macro_f1(predictions: Sequence[int], labels: Sequence[int]) -> float:
    scores = []
    for c in {*predictions, *labels}:
        hits = sum(p == c and y == c for p, y in zip(predictions, labels, strict=True))
        precision = hits / predictions.count(c) if c in predictions else 0.0
        recall = hits / list(labels).count(c) if c in labels else 0.0
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return 100 * sum(scores) / len(scores)


def drawn(seed: int, count: int, classes: Sequence[int]) -> list[int]:
    picks = torch.randint(len(classes), (count,), generator=torch.Generator().manual_seed(seed))
    return [classes[i] for i in picks]


CASES: dict[str, tuple[list[int], list[int]]] = {
    "all right": ([0, 1, 2, 3], [0, 1, 2, 3]),
    "all wrong": ([1, 0], [0, 1]),
    "one class only": ([2, 2, 2], [2, 2, 2]),
    "a class never predicted": ([0, 0, 0, 1], [0, 0, 2, 1]),
    "a class never there": ([0, 3, 0, 1], [0, 0, 0, 1]),
    "a class in neither": (drawn(1, 23, [0, 2, 3]), drawn(2, 23, [0, 2, 3])),
    "rare class": ([0] * 19 + [1], [0] * 18 + [1, 1]),
    "anything": (drawn(3, 101, range(4)), drawn(4, 101, range(4))),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_macro_f1_is_that_of_its_definition_and_of_scikit_learn_however_it_is_batched(case: str, batch: int) -> None:
    predictions, labels = CASES[case]
    (found,) = value("macro_f1", [predictions], labels, 4, batch)
    assert found.item() == pytest.approx(brute_macro_f1(predictions, labels), rel=1e-12, abs=1e-12)
    theirs = f1_score(labels, predictions, average="macro", zero_division=0)
    assert found.item() == pytest.approx(100 * theirs, rel=1e-12, abs=1e-12)


def test_a_metric_of_several_models_is_that_of_each() -> None:
    labels = CASES["anything"][1]
    predictions = [drawn(seed, 101, range(4)) for seed in range(5)]
    for name in METRICS:
        together = value(name, predictions, labels, 4, 16)
        apart = [value(name, [each], labels, 4, 16)[0] for each in predictions]
        assert together.tolist() == [each.item() for each in apart]
    accuracies = [100 * accuracy_score(labels, each) for each in predictions]
    assert value("accuracy", predictions, labels, 4, 16).tolist() == pytest.approx(accuracies)


def test_evaluations_of_one_run_and_of_several_give_every_metric_of_all_their_predictions() -> None:
    split = toy_split(1001, seed=5)  # the last batch is ragged, of 500 as of 128
    loader = Images(split, MEAN, STD)
    members = [toy_training(network=toy_network(seed=seed)) for seed in range(3)]
    expected = []
    for member in members:
        predictions = member.model.eval()(loader.batch(slice(None))).argmax(1).tolist()
        labels = split.labels.tolist()
        expected.append((100 * accuracy_score(labels, predictions), brute_macro_f1(predictions, labels)))
    alone = [evaluate(SingleStrategy(member), loader)[0] for member in members]
    for scores in (alone, evaluate(StackedStrategy(members), loader)):
        found = [(score["accuracy"], score["macro_f1"]) for score in scores]
        assert found == [pytest.approx(each, rel=1e-12) for each in expected]
        assert [list(score) for score in scores] == [["loss", *METRICS]] * 3


def test_every_metric_is_in_history_and_among_final_metrics_as_accuracy_is() -> None:
    result = train(toy_training(steps=8))
    for metric in METRICS:
        rows = {(row[0], row[2]) for row in result.history if row[3] == metric and row[2] != "train"}
        assert rows == {(4, "val"), (8, "val"), (8, "test")}
        for column in (f"test_{metric}", f"test_{metric}_last", f"val_{metric}_best", f"val_{metric}_last"):
            assert column in result.metrics
    last = {row[3]: row[4] for row in result.history if row[2] == "test"}
    assert {name: result.metrics[f"test_{name}_last"] for name in last} == last


def test_every_metric_has_its_columns() -> None:
    assert {"loss", *METRICS} == set(MEASURES)
    assert {f"val_{name}_best" for name in METRICS} < {column.name for column in RUNS.columns}


def test_the_best_weights_are_selected_by_the_metric_asked_for() -> None:
    """Where the two disagree: one class of eight examples and one of two, of which a network learns the first alone."""
    labels = torch.tensor([0] * 40 + [1] * 5 + [2] * 5)
    pixels = toy_split(50, seed=1).images
    found = {}
    for metric in METRICS:
        training = toy_training(steps=40, evaluate_every=2, lr=0.05, task=classification(metric))
        training.train = Images(Split(pixels, labels), MEAN, STD)
        training.val = Images(Split(toy_split(50, seed=1).images, labels.flip(0)), MEAN, STD)
        result = train(training)
        values = [(row[4], -row[0]) for row in result.history if row[2:4] == ("val", metric)]
        assert (result.metrics[f"val_{metric}_best"], -result.metrics["best_step"]) == max(values)
        found[metric] = result.metrics["best_step"]
    assert found["accuracy"] != found["macro_f1"], "the toy must tell the two apart, or this test shows nothing"
