"""Truly sparse layers train as masked ones do: same masks at every update, same weights within float64 rounding."""

from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, GROWTHS
from petlsparse.sparsity.csr import to_dense_state_dict
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.training.checkpoint import learned_tensors
from petlsparse.training.optimizers import adam, sgd

STEPS, PERIOD = 42, 3


class Network(NamedTuple):
    """What is trained, and how much of it; `shape` is that of an example."""

    shape: tuple[int, ...]
    density: float
    drop_fraction: float
    layers: Callable[[], Sequence[nn.Module]]


NETWORKS = {
    "linear": Network(
        (10,), 0.3, 0.5, lambda: (nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4))
    ),
    # Of less, rules that take the best weights away would leave nothing but rounding errors to compare.
    "convolutional": Network(
        (2, 7, 6),
        0.5,
        0.1,
        lambda: (
            *(nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 8, (2, 3), stride=(1, 2), padding=(0, 1)), nn.Tanh(), nn.AvgPool2d((2, 1))),
            *(nn.Conv2d(8, 9, 1, bias=False), nn.Flatten(), nn.Linear(18, 4)),
        ),
    ),
}


def method(
    network: str, backend: str, criterion: str, growth: str, other: str | None = None, scope: Any = "layer"
) -> SparseTraining:
    """All layers of one backend, or every second of another."""
    chosen = NETWORKS[network]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(*chosen.layers()).double()
    shapes = {name: tuple(weight.shape) for name, weight in maskable(model).items()}
    updates = TopologyUpdates(
        UpdateRules(resolve(CRITERIA, criterion, "criterion"), resolve(GROWTHS, growth, "growth rule"), scope),
        torch.Generator().manual_seed(7),
        STEPS,
        update_period=PERIOD,
        drop_fraction=chosen.drop_fraction,
    )
    return SparseTraining(
        model,
        layer_counts(shapes, chosen.density, "uniform"),
        mask_generator=torch.Generator().manual_seed(5),
        updates=updates,
        backends={name: backend if index % 2 == 0 else other or backend for index, name in enumerate(shapes)},
    )


BACKENDS = ("masked", "csr")
OPTIMIZERS = {
    "sgd": lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "adam": lambda p: adam(p, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-3),
}


CASES = [(*case, "csr", "csr", "layer") for case in product(NETWORKS, CRITERIA, GROWTHS, OPTIMIZERS)]
CASES += [
    (network, "snip", "gradient", "sgd", *pair, "layer") for network in NETWORKS for pair in permutations(BACKENDS)
]
CASES += [
    (network, criterion, "random", "sgd", "csr", "csr", scope)
    for network, criterion, scope in product(NETWORKS, ("magnitude", "set", "random"), ("neuron", "global"))
]


@pytest.mark.parametrize(("network", "criterion", "growth", "optimizer", "backend", "other", "scope"), CASES)
def test_masks_are_equal_at_every_step_and_weights_within_rounding(
    network: str, criterion: str, growth: str, optimizer: str, backend: str, other: str, scope: str
) -> None:
    twins = [
        method(network, "masked", criterion, growth, scope=scope),
        method(network, backend, criterion, growth, other, scope),
    ]
    shapes = {name: tuple(mask.shape) for name, mask in twins[0].masks.items()}
    optimizers = [OPTIMIZERS[optimizer](twin.parameters()) for twin in twins]
    for twin, each in zip(twins, optimizers, strict=True):
        twin.bind(each)
    generator = torch.Generator().manual_seed(1)
    for step in range(1, STEPS + 1):
        images = torch.randn(16, *NETWORKS[network].shape, generator=generator, dtype=torch.float64)
        labels = torch.randint(4, (16,), generator=generator)
        for twin, each in zip(twins, optimizers, strict=True):
            each.zero_grad(set_to_none=True)
            F.cross_entropy(twin.model(images), labels).backward()
            twin.after_backward(step)
            each.step()
            twin.after_step(step)
        masked, csr = (twin.masks for twin in twins)
        assert all(torch.equal(masked[name], csr[name]) for name in shapes), step
    expected = learned_tensors(twins[0].model)
    found = to_dense_state_dict(learned_tensors(twins[1].model), shapes)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-7, atol=1e-9)
    assert twins[0].rows() == twins[1].rows()


@pytest.mark.parametrize(("network", "biases"), [("linear", 12 + 9 + 4), ("convolutional", 6 + 8 + 4)])
def test_values_gradients_and_optimizer_state_are_as_few_as_the_active_weights(network: str, biases: int) -> None:
    twin = method(network, "csr", "magnitude", "gradient")
    optimizer = OPTIMIZERS["adam"](twin.parameters())
    twin.bind(optimizer)
    F.cross_entropy(
        twin.model(torch.randn(16, *NETWORKS[network].shape, dtype=torch.float64)), torch.zeros(16, dtype=torch.long)
    ).backward()
    optimizer.step()
    active = sum(int(mask.sum()) for mask in twin.masks.values())
    state = [t for s in optimizer.state.values() for t in s.values() if t.ndim]
    assert sum(t.numel() for t in state) == 2 * (active + biases)
    assert sum(p.numel() for p in twin.parameters()) == active + biases
    assert sum(p.grad.numel() for p in twin.parameters() if p.grad is not None) == active + biases
