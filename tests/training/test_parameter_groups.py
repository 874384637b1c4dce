"""Groups of one optimizer, each with its own learning rate and weight decay, against the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from petlsparse.training.optimizers import OPTIMIZERS
from petlsparse.training.parameter_groups import parameter_groups, roles
from petlsparse.training.seeding import random_stream
from tests.training.toys import MEAN, STD, toy_dataset, toy_network, toy_training, train

OF_TORCH: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": True},
    "adamw": {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8},
}
LR, DECAY, HEAD_LR = 0.02, 0.3, 0.05
BATCH, STEPS = 16, 11


def warm(step: int) -> float:
    return step / 4 if step < 4 else 1.5 / step


def grouped(name: str, network: nn.Module) -> Callable[[list[nn.Parameter]], Optimizer]:
    def build(parameters: list[nn.Parameter]) -> Optimizer:
        of = roles(parameters, head=set(network[-1].parameters()))  # type: ignore[index]
        groups = parameter_groups(of, lr=LR, weight_decay=DECAY, head_lr=HEAD_LR, decay_norms_and_biases=False)
        return OPTIMIZERS[name](groups, lr=LR, weight_decay=DECAY, **OF_TORCH[name])

    return build


def batches() -> Iterator[Tensor]:
    for epoch in range(9):
        yield from torch.randperm(50, generator=random_stream(7, "order", epoch)).split(BATCH)


def twin(name: str) -> list[Tensor]:
    """The same training by the optimizers' formulas, parameter by parameter."""
    data, model = toy_dataset().train, toy_network().double()
    names = ("weight", "bias", "head weight", "head bias")
    parameters = dict(zip(names, model.parameters(), strict=True))
    lrs = {"weight": LR, "bias": LR, "head weight": HEAD_LR, "head bias": HEAD_LR}
    decays = {"weight": DECAY, "bias": 0.0, "head weight": DECAY, "head bias": 0.0}
    first, second = ({key: torch.zeros_like(p) for key, p in parameters.items()} for _ in range(2))
    for step, chosen in zip(range(1, STEPS + 1), batches(), strict=False):
        pixels = ((data.images[chosen].float() / 255 - MEAN[0]) / STD[0]).double()
        loss = functional.cross_entropy(model(pixels), data.labels[chosen])
        gradients = dict(zip(names, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        with torch.no_grad():
            for key, p in parameters.items():
                lr, decay, g, m, v = lrs[key] * warm(step), decays[key], gradients[key], first[key], second[key]
                if name == "sgd":
                    g = g + decay * p
                    m.mul_(0.9).add_(g)
                    p.sub_(lr * (g + 0.9 * m))
                else:
                    p.mul_(1 - lr * decay)
                    m.mul_(0.9).add_(0.1 * g)
                    v.mul_(0.99).add_(0.01 * g**2)
                    p.sub_(lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.99**step)).sqrt() + 1e-8))
    return list(model.parameters())


@pytest.mark.parametrize("name", OF_TORCH)
def test_every_group_is_trained_by_its_own_learning_rate_and_weight_decay(name: str) -> None:
    network = toy_network()
    training = toy_training(steps=STEPS, batch=BATCH, network=network, optimizer=grouped(name, network), schedule=warm)
    assert len(training.optimizer.param_groups) == 4
    result = train(training)
    for ours, theirs in zip(network.parameters(), twin(name), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)
    told = {row[0]: row[4] for row in result.history if row[3] == "lr"}
    assert told == {step: pytest.approx(LR * warm(step)) for step in (4, 8, 11)}


@pytest.mark.parametrize("name", OF_TORCH)
def test_a_run_with_groups_stopped_anywhere_ends_bit_identically(name: str, tmp_path: Path) -> None:
    def made(checkpoint: Path | None) -> Any:
        network = toy_network()
        return toy_training(network=network, optimizer=grouped(name, network), schedule=warm, checkpoint=checkpoint)

    whole = made(None)
    expected = train(whole)
    for stop in (3, 8):
        cut = made(tmp_path / "checkpoint")
        assert train(cut, should_stop=lambda cut=cut, stop=stop: cut.state.step >= stop).status == "interrupted"
    resumed = made(tmp_path / "checkpoint")
    assert train(resumed).history == expected.history
    assert all(map(torch.equal, resumed.model.parameters(), whole.model.parameters()))


def test_what_has_the_same_learning_rate_and_weight_decay_is_one_group_in_order() -> None:
    parameters = list(toy_network().parameters())
    (plain,) = parameter_groups(roles(parameters), lr=0.1, weight_decay=0.2)
    assert (plain["lr"], plain["weight_decay"]) == (0.1, 0.2)
    assert [*map(id, plain["params"])] == [*map(id, parameters)]
    no_decay = parameter_groups(roles(parameters), lr=0.1, weight_decay=0.0, decay_norms_and_biases=False)
    same_lr = parameter_groups(roles(parameters, head={parameters[0]}), lr=0.1, weight_decay=0.2, head_lr=0.1)
    assert len(no_decay) == len(same_lr) == 1


def test_weights_are_matrices_and_what_is_said_to_be_one() -> None:
    values, bias, matrix, scalar = (nn.Parameter(torch.zeros(shape)) for shape in ((5,), (5,), (2, 3), ()))
    found = roles([values, bias, matrix, scalar], weights={values})
    assert [role.is_weight for role in found.values()] == [True, False, True, False]
