"""Sparse runs trained as one have the masks, rows and states that each has alone, whatever the others are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from petlsparse.cohorts import sparse
from petlsparse.cohorts.models import StackedModels
from petlsparse.cohorts.optimizer import StackedOptimizer
from petlsparse.cohorts.sparse import SparseCohort
from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, GROWTHS, selection
from petlsparse.sparsity.criteria import ActiveWeights, Criterion, Statistic, ema_magnitude
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import LayerView, TopologyUpdate, UpdateRules, update_topology
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.training.method import Method, StandardTraining
from petlsparse.training.optimizers import adam, sgd

STEPS = 40
RULES = [*product(CRITERIA, GROWTHS)]
SCOPES = ("neuron", "global")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(10, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4))


def sums(total: Tensor, active: ActiveWeights) -> Tensor:
    return total + active.gradient.abs()


def shares(total: Tensor, active: ActiveWeights) -> Tensor:
    """Looks at all weights of a layer, as only a criterion that is not elementwise may."""
    return total + active.gradient.abs() / active.gradient.abs().mean()


def noisy(active: ActiveWeights) -> Tensor:
    draw = torch.rand(active.weight.shape, generator=active.generator, dtype=torch.float64)
    return draw * active.statistics["total"] / active.statistics["total"].mean()


TOTAL = {"total": Statistic(sums)}
OWN = {
    "accumulated": Criterion(
        lambda active: active.statistics["total"], reads_gradient=True, elementwise=True, statistics=TOTAL
    ),
    "noisy": Criterion(noisy, reads_gradient=True, statistics={"total": Statistic(shares)}),
    "short memory": ema_magnitude.configured(decay=0.3),
}
"""Beside those of the registry."""


def criterion_named(name: str, mest_lambda: float) -> Criterion:
    criterion = OWN.get(name) or resolve(CRITERIA, name, "criterion")
    return criterion.configured(lambda_=mest_lambda) if name == "mest" else criterion


def member(
    seed: int,
    density: float | None,
    rules: tuple[str, str] | None = None,
    *,
    state: Any = "masked",
    distribution: str = "uniform",
    mest_lambda: float = 1.0,
    scope: Any = "layer",
    **updates: Any,
) -> Method:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network().double()
    if density is None:
        return StandardTraining(model)
    dynamic = rules and TopologyUpdates(
        UpdateRules(criterion_named(rules[0], mest_lambda), resolve(GROWTHS, rules[1], "growth rule"), scope),
        torch.Generator().manual_seed(100 + seed),
        STEPS,
        **{"update_period": 3, **updates},
    )
    shapes = {name: weight.shape for name, weight in maskable(model).items()}
    counts = layer_counts(shapes, density, distribution)
    masks = torch.Generator().manual_seed(200 + seed)
    return SparseTraining(model, counts, mask_generator=masks, updates=dynamic or None, optimizer_state=state)


STATISTICS: list[tuple[str, dict[str, Any]]] = [
    ("accumulated", {}),
    ("accumulated", {"update_point": "after-step", "update_period": 4}),
    ("accumulated", {"scope": "global", "regrown": "keep"}),
    ("short memory", {"update_point": "before-step"}),
    ("short memory", {"scope": "neuron", "regrown": "keep"}),
    *(("noisy", {}),) * 2,
]


def sparse_methods(state: str = "masked") -> list[Method]:
    """Every pair of rules, several densities, periods and points of update; static and dense ones among them."""

    def mixed(seed: int, rules: tuple[str, str]) -> Method:
        density, period = (0.1, 0.3, 0.6)[seed % 3], (3, 4)[seed % 2]
        return member(seed, density, rules, state=state, update_period=period, mest_lambda=seed / 9)

    return [
        *(mixed(seed, rules) for seed, rules in enumerate(RULES)),
        member(20, 0.2, None, state=state),
        member(21, None),
        member(22, 0.3, ("magnitude", "gradient"), state=state, update_point="before-step"),
        member(23, 0.3, ("snip", "random"), state=state, update_point="after-step", regrown="keep"),
        member(24, 1.0, ("set", "gradient"), state=state, regrown="keep"),
        member(25, 0.5, ("mest", "gradient"), state=state, distribution="erk", drop_fraction=0.2),
        *(
            member(seed, 0.4, rules, state=state, scope=scope, distribution="erk")
            for seed, (rules, scope) in enumerate(product([("magnitude", "gradient"), ("set", "random")], SCOPES), 26)
        ),
        member(30, 0.3, ("random", "gradient"), state=state, scope="global"),
        *(
            member(seed, 0.4, (name, "gradient"), state=state, distribution="erk", **updates)
            for seed, (name, updates) in enumerate(STATISTICS, 31)
        ),
    ]


def batch(step: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * seed + step)
    return torch.randn(16, 10, generator=generator, dtype=torch.float64), torch.randint(4, (16,), generator=generator)


OPTIMIZERS = {
    "sgd": lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "adam": lambda p: adam(p, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-3),
}


def bound(methods: Sequence[Method], kind: str) -> list[Optimizer]:
    optimizers = [OPTIMIZERS[kind](method.parameters()) for method in methods]
    for method, optimizer in zip(methods, optimizers, strict=True):
        method.bind(optimizer)
    return optimizers


class AsOne:
    """Steps of all methods at once."""

    def __init__(self, methods: Sequence[Method], optimizers: Sequence[Optimizer]) -> None:
        self.methods = methods
        self.stack = StackedModels([method.model for method in methods])
        self.cohort = SparseCohort(methods, self.stack.parameters)
        self.optimizer = StackedOptimizer(optimizers, [range(len(methods))], self.stack.parameters)

    def step(self, step: int) -> None:
        batches = [batch(step, seed) for seed in range(len(self.methods))]
        for stacked in self.stack.parameters:
            stacked.rows.grad = None
        logits = self.stack(torch.stack([x for x, _ in batches]), torch.arange(len(batches)))
        labels = torch.stack([y for _, y in batches])
        losses = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
        losses.view(labels.shape).mean(1).sum().backward()
        due = self.cohort.due(step)
        if due:
            self.cohort.after_backward(step, due)
        self.cohort.before_step()
        self.optimizer.step()
        self.cohort.apply()
        if due:
            self.cohort.after_step(step, due)


def alone(methods: Sequence[Method], optimizers: Sequence[Optimizer], step: int) -> None:
    for seed, (method, optimizer) in enumerate(zip(methods, optimizers, strict=True)):
        images, labels = batch(step, seed)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(method.model(images).float(), labels).backward()
        method.after_backward(step)
        optimizer.step()
        method.after_step(step)


def masks(method: Method) -> dict[str, Tensor]:
    return method.masks if isinstance(method, SparseTraining) else {}


@pytest.mark.parametrize("state", ["masked", "dense"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masks_are_equal_at_every_step_and_weights_within_rounding(optimizer: str, state: str) -> None:
    expected, found = sparse_methods(state), sparse_methods(state)
    theirs, ours = bound(expected, optimizer), bound(found, optimizer)
    as_one = AsOne(found, ours)
    for step in range(1, STEPS + 1):
        alone(expected, theirs, step)
        as_one.step(step)
        for one, other in zip(expected, found, strict=True):
            a, b = masks(one), masks(other)
            assert all(torch.equal(a[name], b[name]) for name in a), step
    for one, other, optimizer_a, optimizer_b in zip(expected, found, theirs, ours, strict=True):
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
            for name, value in optimizer_a.state[a].items():
                torch.testing.assert_close(value, optimizer_b.state[b][name], rtol=1e-7, atol=1e-9)
        assert one.rows() == other.rows()
        a, b = one.state(), other.state()
        assert a.keys() == b.keys()
        for name in a:
            exactly = {} if name.startswith("statistic.") else {"rtol": 0, "atol": 0}
            torch.testing.assert_close(a[name], b[name], **exactly)


def test_inactive_weights_and_their_state_are_exactly_zero() -> None:
    methods = sparse_methods()
    optimizers = bound(methods, "adam")
    as_one = AsOne(methods, optimizers)
    for step in range(1, 14):
        as_one.step(step)
        for method, optimizer in zip(methods, optimizers, strict=True):
            for name, mask in masks(method).items():
                weight = method.model.get_submodule(name).weight
                state = [value for value in optimizer.state[weight].values() if value.shape == weight.shape]
                assert len(state) == 2
                assert all(not tensor[~mask].any() for tensor in (weight, *state)), (step, name)


def test_updates_in_parts_are_the_same_updates() -> None:
    whole, parts = sparse_methods(), sparse_methods()
    ours, theirs = AsOne(whole, bound(whole, "sgd")), AsOne(parts, bound(parts, "sgd"))
    for step in range(1, 10):
        ours.step(step)
        with patch.object(sparse, "ENTRIES_AT_A_TIME", 250):
            theirs.step(step)
    assert [method.rows() for method in whole] == [method.rows() for method in parts]
    for one, other in zip(whole, parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


def test_members_may_go_on_alone() -> None:
    """Their masks are their own view of the common ones."""
    as_one, expected = sparse_methods(), sparse_methods()
    ours, theirs = bound(as_one, "sgd"), bound(expected, "sgd")
    steps = AsOne(as_one, ours)
    for step in range(1, 8):
        steps.step(step)
        alone(expected, theirs, step)
    for step in range(8, 20):
        alone(as_one, ours, step)
        alone(expected, theirs, step)
    for one, other in zip(as_one, expected, strict=True):
        assert all(torch.equal(masks(one)[name], masks(other)[name]) for name in masks(one))
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_growth_after_the_step_reads_gradients_from_before_they_were_masked() -> None:
    """Of all members at once, whose rows of gradients are the tensor that is masked."""
    expected, found = ([member(seed, 0.3, ("magnitude", "gradient")) for seed in (0, 1)] for _ in range(2))
    theirs, ours = bound(expected, "sgd"), bound(found, "sgd")
    as_one = AsOne(found, ours)
    for step in range(1, 10):
        alone(expected, theirs, step)
        as_one.step(step)
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(masks(one)[name], masks(other)[name]) for name in masks(one))


def test_nobody_is_due_without_updates() -> None:
    methods = [member(1, 0.2), member(2, None), member(3, 0.3, ("set", "random"), update_period=5)]
    cohort = SparseCohort(methods, StackedModels([method.model for method in methods]).parameters)
    assert [list(cohort.due(step)) for step in (1, 4, 5, 10)] == [[], [], [2], [2]]


def test_states_are_not_mixed_and_truly_sparse_layers_refused() -> None:
    mixed = [member(1, 0.2), member(2, 0.2, state="dense")]
    with pytest.raises(ValueError, match="masked and with dense"):
        SparseCohort(mixed, StackedModels([method.model for method in mixed]).parameters)
    with pytest.raises(ValueError, match="not among the parameters"):
        SparseCohort([member(1, 0.2)], StackedModels([network()]).parameters)


# -- one update of one layer -----------------------------------------------------------------------------------------


numbers = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, math.inf, math.nan])


@st.composite
def layers(draw: Any, runs: int | None = None) -> tuple[Tensor, Tensor, Tensor, list[float]]:
    """Masks, weights and gradients of a few runs, with ties and oddities, and the share that each is to lose."""
    runs, size = runs or draw(st.integers(1, 4)), draw(st.integers(2, 14))
    active = torch.tensor(
        draw(st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=runs, max_size=runs))
    )
    active[:, draw(st.integers(0, size - 1))] = True

    def tensor() -> Tensor:
        drawn = st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=runs, max_size=runs)
        return torch.tensor(draw(drawn), dtype=torch.float64)

    return active, tensor(), tensor(), [draw(st.floats(0.01, 1)) for _ in active]


@pytest.mark.parametrize("device", ["cpu", "as on a GPU"])
@pytest.mark.parametrize(
    ("criterion", "growth", "scope"),
    [
        *((*rules, "layer") for rules in RULES),
        *((*rules, scope) for rules in (("set", "gradient"), ("random", "random")) for scope in SCOPES),
    ],
)
@settings(max_examples=settings().max_examples // 3)  # of each rule
@given(data=st.data(), mest_lambda=st.floats(0, 2))
def test_an_update_of_rows_is_that_of_each_alone(
    criterion: str, growth: str, scope: Any, device: str, data: st.DataObject, mest_lambda: float
) -> None:
    first = data.draw(layers())
    second = data.draw(layers(len(first[0])))
    fractions = first[3]
    rules = UpdateRules(criterion_named(criterion, mest_lambda), resolve(GROWTHS, growth, "growth rule"), scope)

    def updated(rows: slice) -> list[list[TopologyUpdate]]:
        views = []
        for masks, weights, gradients, _ in (first, second):
            some, slopes = masks[rows], gradients[rows].flatten()
            where, size = some.flatten().nonzero().squeeze(1), masks.shape[1]
            of_active = weights[rows].flatten()[where], slopes[where]
            outputs = 2 if size % 2 == 0 else 1
            counts, begun = some.sum(1).tolist(), rules.criterion.initial_statistics(of_active[0])
            views.append(LayerView(where, *of_active, counts, outputs, size, slopes.clone, begun))
        generators = [torch.Generator().manual_seed(i) for i in range(len(fractions))[rows]]
        found = update_topology(views, fractions[rows], rules=rules, generators=generators)
        return [update.of_rows(len(generators), view.size) for update, view in zip(found, views, strict=True)]

    alone = [updated(slice(i, i + 1)) for i in range(len(fractions))]
    with patch.object(selection, "_by_numpy", lambda score: device == "cpu"):
        as_one = updated(slice(None))
    for layer, found in enumerate(as_one):
        for row, update in enumerate(found):
            for name, a, b in zip(update._fields, update, alone[row][layer][0], strict=True):
                assert torch.equal(a, b), name
