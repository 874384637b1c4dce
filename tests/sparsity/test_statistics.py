"""Statistics that criteria keep over steps: what numpy makes of the recorded weights and gradients, entry by entry."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from petlsparse.registry import resolve
from petlsparse.sparsity import GROWTHS
from petlsparse.sparsity.criteria import Criterion, Statistic, ema_magnitude, magnitude
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.masked import Masked
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates
from tests.sparsity.test_sparse_training import batch, seeded, sgd, small_model, train_step

STEPS, PERIOD = 12, 3


def sums(total, active):
    return total + active.gradient.abs()


@partial(Criterion, reads_gradient=True, statistics={"total": Statistic(sums)})
def accumulated(active):
    return active.statistics["total"]


def training(
    criterion: Criterion,
    backend: str = "masked",
    *,
    density: float = 0.5,
    distribution: str = "uniform",
    **options: Any,
) -> SparseTraining:
    model = small_model().double()
    shapes = {name: weight.shape for name, weight in maskable(model).items()}
    rules = UpdateRules(criterion, resolve(GROWTHS, "gradient", "growth rule"))
    return SparseTraining(
        model,
        layer_counts(shapes, density, distribution),
        mask_generator=seeded(5),
        updates=TopologyUpdates(rules, seeded(7), STEPS, **{"update_period": PERIOD, **options}),
        backends=dict.fromkeys(shapes, backend),
    )


def dense(method: SparseTraining, name: str) -> np.ndarray:
    """The weights of a layer, (N,), zeros where they are inactive."""
    layer, mask = method.layers[name], method.masks[name]
    whole = np.zeros(mask.shape)
    whole[mask] = layer.weight.detach()[mask] if isinstance(layer, Masked) else layer.layer.values.detach()
    return whole.flatten()


def kept(method: SparseTraining, name: str, statistic: str, mask: np.ndarray) -> np.ndarray:
    """A statistic of a layer, (N,), zeros where weights are inactive."""
    whole = np.zeros(mask.size)
    whole[mask] = method.statistics.of(name)[statistic].numpy()
    return whole


def masks(method: SparseTraining) -> dict[str, np.ndarray]:
    return {name: mask.flatten().numpy() for name, mask in method.masks.items()}


def watched(criterion: Criterion) -> tuple[Criterion, list[dict[str, Tensor]]]:
    """The criterion, and what it is given whenever it scores."""
    seen: list[dict[str, Tensor]] = []

    def score(active, *, decay=0.0):
        seen.append({"weight": active.weight.clone()} | {n: t.clone() for n, t in active.statistics.items()})
        return criterion.score(active)

    return replace(criterion, function=score), seen


@pytest.mark.parametrize("backend", ["masked", "csr"])
@pytest.mark.parametrize("regrown", ["zero", "keep"])
def test_an_average_of_magnitudes_is_what_numpy_makes_of_the_recorded_weights(backend: str, regrown: Any) -> None:
    decay = 0.8
    criterion, seen = watched(ema_magnitude.configured(decay=decay))
    method = training(criterion, backend, density=0.7, regrown=regrown)
    optimizer = sgd(method)
    before = masks(method)
    average = {name: np.abs(dense(method, name)) for name in before}
    changed = same_again = 0
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
        rows = {row["layer"]: row for row in method.rows()["topology"] if row["step"] == step}
        now = masks(method)
        for name, mask in now.items():
            weight = np.abs(dense(method, name))
            last = decay * average[name] + (1 - decay) * weight
            if rows:
                # What went was the lowest by the average of all steps up to this one.
                given = seen.pop(0)
                scores = decay * average[name][before[name]] + (1 - decay) * given["weight"].abs().numpy()
                np.testing.assert_allclose(given["average"].numpy(), scores, rtol=1e-12)
                lowest = np.sort(np.argsort(scores, kind="stable")[: rows[name]["pruned"]])
                gone = np.flatnonzero(before[name])[lowest]
                anew = now[name] & ~before[name]
                again = gone[now[name][gone]]
                assert not np.setdiff1d(np.flatnonzero(before[name] & ~now[name]), gone).size
                if regrown == "zero":
                    anew[again] = True
                    assert not weight[anew].any()
                last[anew] = weight[anew]  # begun anew
                changed, same_again = changed + len(gone), same_again + len(again)
            average[name] = last * mask
            np.testing.assert_allclose(kept(method, name, "average", mask), average[name], rtol=1e-12, atol=0)
        before = now
    assert changed > 50
    assert same_again > 0


@pytest.mark.parametrize("backend", ["masked", "csr"])
def test_a_sum_of_gradients_has_that_of_the_step_before_an_update_reads_it(backend: str) -> None:
    criterion, seen = watched(accumulated)
    method = training(criterion, backend)
    optimizer = sgd(method)
    before = masks(method)
    total = {name: np.zeros(mask.size) for name, mask in before.items()}
    for step in range(1, STEPS + 1):
        images, labels = batch(step)
        optimizer.zero_grad()
        F.cross_entropy(method.model(images.double()), labels).backward()
        for name, mask in before.items():
            total[name][mask] += method.layers[name].gradients().abs().numpy()
        method.after_backward(step)
        pruned = {row["layer"]: row["pruned"] for row in method.rows()["topology"]}
        now = masks(method)
        for name, mask in now.items():
            if step % PERIOD == 0 and step < STEPS:
                given = seen.pop(0)
                np.testing.assert_allclose(given["total"].numpy(), total[name][before[name]], rtol=1e-12)
                scores = given["total"].numpy()
                gone = np.flatnonzero(before[name])[np.argsort(scores, kind="stable")[: pruned[name]]]
                total[name][gone] = 0
            np.testing.assert_allclose(kept(method, name, "total", mask), total[name] * mask, rtol=1e-12, atol=0)
        before = now
        optimizer.step()
        method.after_step(step)
    assert not seen


@pytest.mark.parametrize("backend", ["masked", "csr"])
def test_without_memory_the_average_prunes_what_the_magnitude_does(backend: str) -> None:
    twins = training(ema_magnitude.configured(decay=0.0), backend), training(magnitude, backend)
    optimizers = [sgd(twin) for twin in twins]
    for step in range(1, STEPS + 1):
        for twin, optimizer in zip(twins, optimizers, strict=True):
            train_step(twin, optimizer, step)
        one, other = (masks(twin) for twin in twins)
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert twins[0].rows() == twins[1].rows()


def test_a_statistic_that_restarts_begins_anew_for_all_at_every_update() -> None:
    """As the running criteria of 2306.12230, which begin with the first score after an update."""

    def running(score, active):
        now = (active.weight * active.gradient).abs()
        return torch.where(score.isnan(), now, 0.75 * score + 0.25 * now)

    statistic = Statistic(running, begin=lambda weight: torch.full_like(weight, torch.nan), restarts=True)
    method = training(Criterion(lambda active: active.statistics["score"], True, statistics={"score": statistic}))
    optimizer = sgd(method)
    for step in range(1, PERIOD + 1):
        assert step == 1 or not any(method.statistics.of(name)["score"].isnan().any() for name in method.masks)
        train_step(method, optimizer, step)
    assert all(method.statistics.of(name)["score"].isnan().all() for name in method.masks)


@pytest.mark.parametrize("point", ["before-step", "after-step"])
def test_on_whichever_side_of_the_step_an_update_is_its_statistics_are_brought_up_to_date_once(point: Any) -> None:
    def count(steps, active):
        return steps + 1

    for reads in (False, True):
        rule = Criterion(lambda active: active.weight.abs(), reads, statistics={"steps": Statistic(count)})
        criterion, seen = watched(rule)
        method = training(criterion, update_point=point)
        optimizer = sgd(method)
        for step in range(1, PERIOD + 1):
            train_step(method, optimizer, step)
        # Of one that is brought up to date after the step, an update before it finds the step before.
        assert {float(given["steps"].unique()) for given in seen} == {PERIOD - (point == "before-step" and not reads)}


def test_layers_that_are_never_updated_and_criteria_without_statistics_keep_nothing() -> None:
    method = training(ema_magnitude, density=0.8, distribution="erk")
    assert [name for name in method.layers if method.statistics.of(name)] == ["0", "2"]
    assert {key for key in method.state() if key.startswith("statistic.")} == {
        "statistic.average.0",
        "statistic.average.2",
    }
    method = training(magnitude)
    optimizer = sgd(method)
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
    assert not any(key.startswith("statistic.") for key in method.state())
    assert all(isinstance(layer, Masked) and layer._active is None for layer in method.layers.values())


@pytest.mark.parametrize("wrong", [torch.zeros(3), torch.zeros(15)])
def test_a_statistic_of_other_weights_is_refused(wrong: Tensor) -> None:
    method = training(ema_magnitude)
    state = method.state()
    assert method.statistics.of("0")["average"].shape == (15,)
    state["statistic.average.0"] = wrong  # of other length, or float32
    with pytest.raises(ValueError, match=r"statistic\.average\.0"):
        method.load_state(state)


def test_what_a_statistic_cannot_be_is_told_when_it_is_declared_or_first_computed() -> None:
    def average(old, active, *, decay, warmth): ...

    with pytest.raises(ValueError, match=r'statistic "average".*warmth'):
        replace(ema_magnitude, statistics={"average": Statistic(average)})
    with pytest.raises(ValueError, match=r'the update of statistic "average" takes \(active\), not'):
        replace(ema_magnitude, statistics={"average": Statistic(lambda active: active)})
    shorter = Criterion(lambda active: active.weight, False, statistics={"mean": Statistic(lambda *_: torch.ones(1))})
    method = training(shorter)
    with pytest.raises(ValueError, match=r'statistic "mean".*\(1,\).*\(15,\)'):
        train_step(method, sgd(method), 1)
