"""Truly sparse layers train as masked ones do: same masks at every update, same weights within float64 rounding."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, GROWTHS
from petlsparse.sparsity.csr import dense_tensors
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.training.checkpoint import learned_tensors
from petlsparse.training.optimizers import adam, sgd

STEPS, PERIOD = 120, 3
SHAPES = {"0": (12, 10), "2": (9, 12), "4": (4, 9)}


def method(backend: str, criterion: str, growth: str, last: str | None = None) -> SparseTraining:
    """All layers of one backend, or the last of another."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4)).double()
    updates = TopologyUpdates(
        resolve(CRITERIA, criterion, "criterion"),
        resolve(GROWTHS, growth, "growth rule"),
        torch.Generator().manual_seed(7),
        STEPS,
        update_period=PERIOD,
    )
    return SparseTraining(
        model,
        layer_counts({name: weight.shape for name, weight in maskable(model).items()}, 0.3, "uniform"),
        mask_generator=torch.Generator().manual_seed(5),
        updates=updates,
        backends={**dict.fromkeys(SHAPES, backend), "4": last or backend},
    )


OPTIMIZERS = {
    "sgd": lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "adam": lambda p: adam(p, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-3),
}


CASES = [(*case, "csr") for case in product(CRITERIA, GROWTHS, OPTIMIZERS)] + [("snip", "gradient", "sgd", "masked")]


@pytest.mark.parametrize(("criterion", "growth", "optimizer", "last"), CASES)
def test_masks_are_equal_at_every_step_and_weights_within_rounding(
    criterion: str, growth: str, optimizer: str, last: str
) -> None:
    twins = [method("masked", criterion, growth), method("csr", criterion, growth, last)]
    optimizers = [OPTIMIZERS[optimizer](twin.parameters()) for twin in twins]
    for twin, each in zip(twins, optimizers, strict=True):
        twin.bind(each)
    generator = torch.Generator().manual_seed(1)
    for step in range(1, STEPS + 1):
        images = torch.randn(16, 10, generator=generator, dtype=torch.float64)
        labels = torch.randint(4, (16,), generator=generator)
        for twin, each in zip(twins, optimizers, strict=True):
            each.zero_grad(set_to_none=True)
            F.cross_entropy(twin.model(images), labels).backward()
            twin.after_backward(step)
            each.step()
            twin.after_step(step)
        masked, csr = (twin.masks for twin in twins)
        assert all(torch.equal(masked[name], csr[name]) for name in SHAPES), step
    expected = learned_tensors(twins[0].model)
    found = dense_tensors(learned_tensors(twins[1].model), SHAPES)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-7, atol=1e-9)
    assert twins[0].rows() == twins[1].rows()


def test_optimizer_state_and_gradients_are_as_few_as_the_active_weights() -> None:
    twin = method("csr", "magnitude", "gradient")
    optimizer = OPTIMIZERS["adam"](twin.parameters())
    twin.bind(optimizer)
    F.cross_entropy(twin.model(torch.randn(16, 10, dtype=torch.float64)), torch.zeros(16, dtype=torch.long)).backward()
    optimizer.step()
    active = sum(int(mask.sum()) for mask in twin.masks.values())
    biases = sum(out for out, _ in SHAPES.values())
    state = [t for s in optimizer.state.values() for t in s.values() if t.ndim]
    assert sum(t.numel() for t in state) == 2 * (active + biases)
    assert sum(p.grad.numel() for p in twin.parameters() if p.grad is not None) == active + biases
