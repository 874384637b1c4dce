"""On CUDA: strict mode repeats and resumes bit-identically, and agrees with the CPU within rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from petlsparse.cohorts.sparse import SparseCohort
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.sparsity.criteria import Criterion, Statistic, ema_magnitude
from petlsparse.sparsity.growth import random as random_growth
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.training.arithmetic import reference_arithmetic
from petlsparse.training.loop import Loop
from petlsparse.training.member import Member
from petlsparse.training.method import StandardTraining
from tests.cohorts.test_stacked import adamw, convolutional, grouped_adamw, grouped_sgd, member, slow_sgd
from tests.training.toys import Pruned, toy_training, train

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")


def test_strict_mode_resumes_bit_identically(tmp_path: Path) -> None:
    with reference_arithmetic(deterministic=True):
        whole = toy_training(device=CUDA)
        expected = train(whole)
        cut = toy_training(device=CUDA, checkpoint=tmp_path / "checkpoint.safetensors")
        assert train(cut, should_stop=lambda: cut.state.step == 5).status == "interrupted"
        resumed = toy_training(device=CUDA, checkpoint=tmp_path / "checkpoint.safetensors")
        result = train(resumed)
    assert result.history == expected.history
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_cuda_trains_what_the_cpu_trains_within_rounding() -> None:
    """Same data order, same augmentation draws: only the arithmetic differs."""
    on_cuda, on_cpu = toy_training(device=CUDA), toy_training()
    train(on_cuda)
    train(on_cpu)
    for ours, theirs in zip(on_cuda.model.parameters(), on_cpu.model.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)


def test_products_are_rounded_to_tf32_only_where_asked_for() -> None:
    left, right = (torch.randn(512, 512, generator=torch.Generator().manual_seed(i)) for i in range(2))
    exact = left.double() @ right.double()

    def error(*, tf32: bool) -> float:
        with reference_arithmetic(deterministic=True, tf32=tf32):
            product = (left.cuda() @ right.cuda()).cpu()
        return float((product - exact).norm() / exact.norm())

    assert error(tf32=False) < 1e-6
    if torch.cuda.get_device_capability() >= (8, 0):
        assert 1e-5 < error(tf32=True) < 1e-3  # inputs are rounded to 10 bits: a relative 2**-11 at most, each


@pytest.mark.parametrize("optimizer", [slow_sgd, adamw, grouped_sgd, grouped_adamw])
@pytest.mark.parametrize("network", [None, convolutional], ids=["linear", "convolutional"])
@pytest.mark.parametrize("method", [StandardTraining, Pruned])
def test_a_cohort_is_recorded_as_a_graph_and_trains_what_its_members_train_alone(
    optimizer: Callable[..., Optimizer], network: Callable[[int], nn.Module] | None, method: Callable[..., Any]
) -> None:
    def made(seed: int) -> Member:
        options = {"network": network, "optimizer": optimizer, "method": method}
        return member(seed=seed, steps=40, evaluate_every=6, device=CUDA, **options)

    members, alone = [made(seed) for seed in (1, 2, 3)], [made(seed) for seed in (1, 2, 3)]
    with reference_arithmetic(deterministic=True):
        stacked = StackedStrategy(members)
        assert stacked.captured is not None
        Loop(stacked, done=lambda *_: None).run()
        assert stacked.captured.failure == ""
        for ours, theirs in zip(members, alone, strict=True):
            train(theirs)
            for one, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


GRADIENTS = {"total": Statistic(lambda total, active: total + active.gradient.abs())}


@pytest.mark.parametrize(
    "criterion",
    [ema_magnitude, Criterion(lambda active: active.statistics["total"], reads_gradient=True, statistics=GRADIENTS)],
    ids=["of weights", "of gradients"],
)
def test_statistics_in_a_recorded_cohort_are_those_that_its_members_keep_alone(criterion: Criterion) -> None:
    def made(seed: int) -> Member:
        def sparse(model: nn.Module) -> SparseTraining:
            generator = torch.Generator().manual_seed(seed)
            updates = TopologyUpdates(UpdateRules(criterion, random_growth), generator, 40, update_period=7 + seed)
            return SparseTraining(model, {"1": 60, "4": 18}, mask_generator=generator, updates=updates)

        return member(seed=seed, steps=40, evaluate_every=6, device=CUDA, method=sparse)

    members, alone = [made(seed) for seed in (1, 2, 3)], [made(seed) for seed in (1, 2, 3)]
    with reference_arithmetic(deterministic=True):
        stacked = StackedStrategy(members, method=lambda methods, stack: SparseCohort(methods, stack.parameters))
        assert stacked.captured is not None
        Loop(stacked, done=lambda *_: None).run()
        assert stacked.captured.failure == ""
        for ours, theirs in zip(members, alone, strict=True):
            train(theirs)
            found, expected = ours.method.state(), theirs.method.state()
            assert sum(name.startswith("statistic.") for name in expected) == 2
            for name in expected:
                torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)
