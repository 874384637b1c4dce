"""The method object in a real SGD loop: order of operations, what is zero when, and bit-identical continuation."""

import copy
import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, GROWTHS
from petlsparse.sparsity.criteria import Criterion
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.training.method import StandardTraining

STEPS, PERIOD = 12, 3


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_model() -> nn.Sequential:
    """Weights 6x5, 8x6 and 3x8, 102 in all, biases and a norm layer; smooth, so that no gradient is exactly zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = seeded(1000 + step)
    return torch.randn(16, 5, generator=generator), torch.randint(3, (16,), generator=generator)


def updates(criterion: str = "magnitude", growth: str = "gradient", **options) -> TopologyUpdates:
    rules = UpdateRules(resolve(CRITERIA, criterion, "criterion"), resolve(GROWTHS, growth, "growth rule"))
    return TopologyUpdates(rules, seeded(7), STEPS, **{"update_period": PERIOD, **options})


def sparse(density=0.4, distribution="uniform", seed=5, dtype=torch.float32, **options) -> SparseTraining:
    model = small_model().to(dtype)
    counts = layer_counts({n: w.shape for n, w in maskable(model).items()}, density, distribution)
    return SparseTraining(model, counts, mask_generator=seeded(seed), **options)


def sgd(method: SparseTraining | StandardTraining) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    method.bind(optimizer)
    return optimizer


def adamw(method: SparseTraining | StandardTraining) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.01, weight_decay=0.1)
    method.bind(optimizer)
    return optimizer


def train_step(method: SparseTraining | StandardTraining, optimizer: torch.optim.Optimizer, step: int) -> None:
    images, labels = batch(step)
    optimizer.zero_grad()
    F.cross_entropy(method.model(images.to(next(method.model.parameters()).dtype)), labels).backward()
    method.after_backward(step)
    optimizer.step()
    method.after_step(step)


def snapshot(method: SparseTraining | StandardTraining) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in method.model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def buffers(optimizer: torch.optim.Optimizer, weight: Tensor) -> list[Tensor]:
    return [value for value in optimizer.state[weight].values() if value.shape == weight.shape]


# -- exact density ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", [sgd, adamw])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("growth", GROWTHS)
def test_active_weights_per_layer_are_counted_and_constant_and_the_rest_is_zero(criterion, growth, optimize):
    method = sparse(updates=updates(criterion, growth, update_last_step=True))
    counts = {name: int(mask.sum()) for name, mask in method.masks.items()}
    assert sum(counts.values()) == round(0.4 * 102)
    optimizer = optimize(method)
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
        for name, weight in maskable(method.model).items():
            mask = method.masks[name]
            assert int(mask.sum()) == counts[name]
            assert not weight[~mask].any()
            assert not any(buffer[~mask].any() for buffer in buffers(optimizer, weight))


def test_static_training_never_changes_a_mask():
    method = sparse()
    before = copy.deepcopy(method.masks)
    optimizer = sgd(method)
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
    assert equal(before, method.masks)
    assert all(torch.equal(weight != 0, before[name]) for name, weight in maskable(method.model).items())


# -- the whole trajectory, done again by hand -------------------------------------------------------------------------

SCORES = {
    "magnitude": lambda w, g: w.abs(),
    "mest": lambda w, g: w.abs() + g.abs(),
    "snip": lambda w, g: (w * g).abs(),
    "reciprocal-sensitivity": lambda w, g: w.abs() / (g.abs() + 1e-8),
    "sensitivity": lambda w, g: g.abs() / (w.abs() + 1e-8),
}


class ByHand:
    """Plain tensors, Nesterov SGD written out, full sorts: the same training in the most literal way (float64)."""

    def __init__(self, method: SparseTraining, criterion: str, regrown: str, state: str) -> None:
        self.model = copy.deepcopy(method.model)
        self.criterion, self.regrown, self.state = criterion, regrown, state
        self.masks = copy.deepcopy(method.masks)
        self.layers = maskable(self.model)
        self.velocity: dict[str, Tensor] = {}
        self.dense = {name for name, mask in self.masks.items() if mask.all()}

    def step(self, step: int) -> None:
        images, labels = batch(step)
        self.model.zero_grad()
        F.cross_entropy(self.model(images.double()), labels).backward()
        gradients = {name: parameter.grad.clone() for name, parameter in self.model.named_parameters()}
        due = step % PERIOD == 0 and step < STEPS
        with torch.no_grad():
            if due and self.criterion != "magnitude":
                self.update(step, gradients)
            for name, parameter in self.model.named_parameters():
                slope = gradients[name] + 5e-4 * parameter
                self.velocity[name] = 0.9 * self.velocity[name] + slope if step > 1 else slope.clone()
                parameter -= 0.1 * (slope + 0.9 * self.velocity[name])
            self.apply(self.masks)
            if due and self.criterion == "magnitude":
                self.update(step, gradients)

    def update(self, step: int, gradients: dict[str, Tensor]) -> None:
        fraction = 0.005 + 0.495 * (1 + math.cos(math.pi * step / STEPS)) / 2
        for name in self.masks.keys() - self.dense:
            weight, gradient = self.layers[name].flatten(), gradients[f"{name}.weight"].flatten()
            score = SCORES[self.criterion](weight, gradient).tolist()
            active = self.masks[name].flatten().nonzero().flatten().tolist()
            pruned = sorted(active, key=lambda i: (score[i], i))[: math.ceil(fraction * len(active))]
            kept = set(active) - set(pruned)
            steepest = sorted(set(range(len(weight))) - kept, key=lambda i: (-abs(gradient[i].item()), i))
            new = kept | set(steepest[: len(pruned)])
            as_mask = {
                label: torch.tensor([i in members for i in range(len(weight))]).view_as(self.masks[name])
                for label, members in {"kept": kept, "new": new}.items()
            }
            self.masks[name] = as_mask["new"]
            self.apply({name: as_mask["new" if self.regrown == "keep" else "kept"]})

    def apply(self, masks: dict[str, Tensor]) -> None:
        for name, mask in masks.items():
            self.layers[name][~mask] = 0
            if self.state == "masked" and f"{name}.weight" in self.velocity:
                self.velocity[f"{name}.weight"][~mask] = 0


@pytest.mark.parametrize("criterion", SCORES)
@pytest.mark.parametrize("regrown", ["zero", "keep"])
@pytest.mark.parametrize("state", ["masked", "dense"])
@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_training_by_hand_goes_the_same_way(criterion, regrown, state, distribution):
    method = sparse(
        0.8, distribution, updates=updates(criterion, regrown=regrown), optimizer_state=state, dtype=torch.float64
    )
    hand = ByHand(method, criterion, regrown, state)
    assert bool(hand.dense) == (distribution == "erk")
    optimizer = sgd(method)
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
        hand.step(step)
        assert equal(method.masks, hand.masks)
        for ours, theirs in zip(method.model.parameters(), hand.model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


# -- order of operations ----------------------------------------------------------------------------------------------


def static_twin(
    method: SparseTraining, optimizer: torch.optim.Optimizer
) -> tuple[SparseTraining, torch.optim.Optimizer]:
    """The same network at the same point, which will not update."""
    twin = copy.deepcopy(method)
    twin.updates = None
    twin_optimizer = sgd(twin)
    twin_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return twin, twin_optimizer


def spy(name: str) -> tuple[Criterion, list[tuple[Tensor, Tensor]]]:
    """A criterion that also keeps what it was asked to score."""
    original, seen = resolve(CRITERIA, name, "criterion"), []

    def score(active):
        seen.append((active.weight.clone(), active.gradient.clone()))
        return original.score(active)

    return replace(original, function=score), seen


@pytest.mark.parametrize(("criterion", "point", "before_step"), [
    ("snip", "auto", True), ("magnitude", "auto", False), ("set", "auto", False), ("random", "auto", False),
    ("snip", "after-step", False), ("magnitude", "before-step", True),
])  # fmt: skip
def test_criteria_score_the_weights_on_their_side_of_the_step_and_this_steps_gradient(criterion, point, before_step):
    watched, seen = spy(criterion)
    rules = UpdateRules(watched, resolve(GROWTHS, "gradient", ""))
    updates = TopologyUpdates(rules, seeded(7), STEPS, PERIOD, update_point=point)
    method = sparse(updates=updates)
    optimizer = sgd(method)
    for step in range(1, PERIOD):
        train_step(method, optimizer, step)
    assert not seen

    twin, twin_optimizer = static_twin(method, optimizer)
    weights_before = {n: w.detach().clone() for n, w in maskable(method.model).items()}
    train_step(twin, twin_optimizer, PERIOD)
    masks = copy.deepcopy(method.masks)
    train_step(method, optimizer, PERIOD)

    for (weight, gradient), (name, after) in zip(seen, maskable(twin.model).items(), strict=True):
        assert torch.equal(weight, (weights_before[name] if before_step else after)[masks[name]])
        assert torch.equal(gradient, after.grad[masks[name]])


def test_an_update_before_the_step_loses_no_step_and_grown_weights_take_it_at_once():
    method = sparse(updates=updates("snip"))
    optimizer = sgd(method)
    for step in range(1, PERIOD + 1):
        old = copy.deepcopy(method.masks)
        train_step(method, optimizer, step)
    for name, weight in maskable(method.model).items():
        came = method.masks[name] & ~old[name]
        assert came.any()
        # From zero, without momentum: the first Nesterov step is lr * (1 + momentum) * gradient.
        torch.testing.assert_close(weight[came].detach(), -0.1 * 1.9 * weight.grad[came])


def test_growth_reads_the_gradient_even_if_the_optimizer_writes_into_it():
    # torch's foreach implementation adds the momentum to the gradients in place when there is no weight decay.
    ends = []
    for foreach in (False, True):
        method = sparse(updates=updates())
        optimizer = torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=foreach)
        method.bind(optimizer)
        for step in range(1, STEPS + 1):
            train_step(method, optimizer, step)
        ends.append(method.masks)
    assert equal(*ends)


# -- what is zero after an update -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", [sgd, adamw])
@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("density", [0.4, 0.9])
def test_grown_and_regrown_weights_are_zero_without_state_right_after_the_update(optimize, growth, density):
    method = sparse(density, updates=updates("magnitude", growth))
    optimizer = optimize(method)
    regrown = 0
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
        rows = [row for row in method.rows()["topology"] if row["step"] == step]
        regrown += sum(row["regrown"] for row in rows)
        for row in rows:
            weight, mask = maskable(method.model)[row["layer"]], method.masks[row["layer"]]
            fresh = mask & (weight == 0)
            assert int(fresh.sum()) == row["grown"] > 0
            assert not any(buffer[fresh].any() for buffer in buffers(optimizer, weight))
            assert all(buffer[mask & ~fresh].any() for buffer in buffers(optimizer, weight))
    assert regrown > 0


@pytest.mark.parametrize("growth", GROWTHS)
def test_keep_leaves_regrown_weights_bit_equal_to_before_the_prune(growth):
    method = sparse(0.9, updates=updates("magnitude", growth, regrown="keep"))
    optimizer = sgd(method)
    for step in range(1, PERIOD):
        train_step(method, optimizer, step)
    before = copy.deepcopy(method.masks)
    twin, twin_optimizer = static_twin(method, optimizer)
    train_step(twin, twin_optimizer, PERIOD)
    train_step(method, optimizer, PERIOD)
    assert any(row["regrown"] for row in method.rows()["topology"])
    for name, weight in maskable(method.model).items():
        same = before[name] & method.masks[name]
        untouched = maskable(twin.model)[name]
        assert torch.equal(weight[same], untouched[same])
        for ours, theirs in zip(buffers(optimizer, weight), buffers(twin_optimizer, untouched), strict=True):
            assert torch.equal(ours[same], theirs[same])


def test_dense_state_keeps_integrating_where_weights_are_inactive():
    method = sparse(optimizer_state="dense", updates=updates())
    optimizer = sgd(method)
    for step in range(1, STEPS + 1):
        train_step(method, optimizer, step)
    for name, weight in maskable(method.model).items():
        assert buffers(optimizer, weight)[0][~method.masks[name]].any()
        assert not weight[~method.masks[name]].any()


# -- density one, and dense layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("growth", GROWTHS)
def test_keep_at_density_one_is_dense_training_step_by_step(criterion, growth):
    method = sparse(1.0, updates=updates(criterion, growth, regrown="keep"))
    dense = StandardTraining(small_model())
    optimizers = sgd(method), sgd(dense)
    for step in range(1, STEPS + 1):
        train_step(method, optimizers[0], step)
        train_step(dense, optimizers[1], step)
        assert equal(snapshot(method), snapshot(dense))
    assert sum(row["regrown"] for row in method.rows()["topology"]) > 0


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_by_default_at_density_one_every_layer_loses_its_share(criterion):
    method = sparse(1.0, updates=updates(criterion))
    optimizer = sgd(method)
    for step in range(1, PERIOD + 1):
        train_step(method, optimizer, step)
    fraction = method.updates.fraction(PERIOD)
    for weight in maskable(method.model).values():
        assert int((weight == 0).sum()) == math.ceil(fraction * weight.numel())


@pytest.mark.parametrize("regrown", ["zero", "keep"])
@pytest.mark.parametrize("criterion", ["magnitude", "snip"])
def test_a_dense_layer_of_a_sparse_network_is_untouched_by_updates(criterion, regrown):
    method = sparse(0.8, "erk", updates=updates(criterion, regrown=regrown))
    assert [bool(mask.all()) for mask in method.masks.values()] == [False, False, True]
    optimizer = sgd(method)
    for step in range(1, STEPS + 1):
        twin, twin_optimizer = static_twin(method, optimizer)
        train_step(twin, twin_optimizer, step)
        train_step(method, optimizer, step)
        name, weight = list(maskable(method.model).items())[-1]
        assert torch.equal(weight, maskable(twin.model)[name])
        assert method.masks[name].all()
    rows = [row for row in method.rows()["topology"] if row["layer"] == name]
    assert {(row["pruned"], row["grown"], row["drop_fraction"]) for row in rows} == {(0, 0, 0.0)}


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_per_layer_at_the_start_and_at_every_update():
    method = sparse(updates=updates("magnitude", "random"))
    layers = list(method.masks)
    seen = copy.deepcopy(method.masks)
    optimizer = sgd(method)
    rows = method.rows()["topology"]
    for step in range(1, STEPS + 1):
        before = copy.deepcopy(method.masks)
        train_step(method, optimizer, step)
        new = method.rows()["topology"]
        assert len(new) == (len(layers) if step in (3, 6, 9) else 0)
        for row in new:
            mask, old = method.masks[row["layer"]], before[row["layer"]]
            seen[row["layer"]] |= mask
            assert row["step"] == step
            assert row["active"] == int(mask.sum())
            assert row["density"] == int(mask.sum()) / mask.numel()
            assert row["pruned"] == row["grown"] == math.ceil(method.updates.fraction(step) * int(old.sum()))
            assert row["grown"] - row["regrown"] == int((mask & ~old).sum())
            assert row["itop_rate"] == int(seen[row["layer"]].sum()) / mask.numel()
            assert row["drop_fraction"] == method.updates.fraction(step)
        rows += new
    assert [(row["step"], row["layer"]) for row in rows] == list(product([0, 3, 6, 9], layers))
    assert all(row["pruned"] == 0 and row["itop_rate"] == row["density"] for row in rows[: len(layers)])
    assert method.rows() == {"topology": []}


# -- random streams and continuation ----------------------------------------------------------------------------------


def test_initial_masks_depend_on_their_own_generator_only():
    assert equal(sparse(seed=5).masks, sparse(seed=5, updates=updates("random", "random")).masks)
    assert not equal(sparse(seed=5).masks, sparse(seed=6).masks)


@pytest.mark.parametrize(
    ("criterion", "growth"),
    [("magnitude", "random"), ("random", "gradient"), ("snip", "random"), ("ema-magnitude", "gradient")],
)
@pytest.mark.parametrize("stop", [PERIOD - 1, PERIOD, PERIOD + 1])
@pytest.mark.parametrize("optimize", [sgd, adamw])
def test_interrupted_before_at_and_after_an_update_it_continues_bit_identically(criterion, growth, stop, optimize):
    whole = sparse(updates=updates(criterion, growth))
    optimizer = optimize(whole)
    for step in range(1, stop + 1):
        train_step(whole, optimizer, step)
    whole.rows()
    saved = copy.deepcopy((whole.model.state_dict(), optimizer.state_dict(), whole.state()))

    resumed = sparse(seed=99, updates=updates(criterion, growth))
    resumed_optimizer = optimize(resumed)
    resumed.model.load_state_dict(saved[0])
    resumed_optimizer.load_state_dict(saved[1])
    resumed.load_state(saved[2])
    for step in range(stop + 1, STEPS + 1):
        train_step(whole, optimizer, step)
        train_step(resumed, resumed_optimizer, step)
    assert equal(snapshot(whole), snapshot(resumed))
    assert equal(whole.state(), resumed.state())
    assert whole.rows() == resumed.rows()


def test_state_is_tensors_and_does_not_change_under_training():
    method = sparse(updates=updates("random", "random"))
    state = method.state()
    assert all(tensor.dtype in (torch.bool, torch.uint8) for tensor in state.values())
    copied = copy.deepcopy(state)
    optimizer = sgd(method)
    for step in range(1, PERIOD + 1):
        train_step(method, optimizer, step)
    assert equal(state, copied)
    assert not equal(method.state(), copied)
