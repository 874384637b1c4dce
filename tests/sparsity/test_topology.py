"""One update of one layer: hand-made masks, exact oracles with full sorts, and what may never matter."""

import math
from fractions import Fraction
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from petlsparse.errors import UserError
from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, GROWTHS
from petlsparse.sparsity.criteria import (
    Criterion,
    as_criterion,
    magnitude,
    mest,
    random,
    reciprocal_sensitivity,
    sensitivity,
    set_intended,
    snip,
)
from petlsparse.sparsity.growth import Growth, as_growth, steepest
from petlsparse.sparsity.growth import random as random_growth
from petlsparse.sparsity.topology import LayerView, UpdateRules, drop_count, initial_mask, update_topology

ALL_CRITERIA = {name: resolve(CRITERIA, name, "criterion") for name in CRITERIA}
ALL_GROWTHS = {name: resolve(GROWTHS, name, "growth rule") for name in GROWTHS}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Outcome(NamedTuple):
    """A layer's update as masks shaped like the weight, and as positions."""

    kept: Tensor
    mask: Tensor
    pruned: Tensor
    grown: Tensor
    regrown: Tensor


def view(weight: Tensor, mask: Tensor, gradient: Tensor, criterion: Criterion = magnitude) -> LayerView:
    """A layer all of whose statistics have just begun."""
    active = mask.flatten().nonzero().squeeze(1)
    slopes, weights = gradient.flatten(), weight.flatten()[active]
    counts, outputs = [len(active)], len(weight)
    begun = criterion.initial_statistics(weights)
    return LayerView(active, weights, slopes[active], counts, outputs, weight.numel(), slopes.clone, begun)


def update(weight, mask, gradient, fraction, criterion, growth=steepest, seed=0, scope="layer") -> Outcome:
    (result,) = update_topology(
        [view(weight, mask, gradient, criterion)],
        [fraction],
        rules=UpdateRules(criterion, growth, scope),
        generators=[seeded(seed)],
    )
    kept, now = mask.flatten().clone(), torch.zeros(mask.numel(), dtype=torch.bool)
    kept[result.pruned] = False
    now[result.active] = True
    return Outcome(kept.view_as(mask), now.view_as(mask), result.pruned, result.grown, result.regrown)


def positions(mask: Tensor) -> set[int]:
    return set(mask.flatten().nonzero().flatten().tolist())


# -- initial masks ----------------------------------------------------------------------------------------------------


@given(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)), st.data())
def test_initial_masks_have_exactly_the_count(shape, data):
    count = data.draw(st.integers(1, math.prod(shape)))
    mask = initial_mask(shape, count, seeded())
    assert (mask.shape, mask.dtype, int(mask.sum())) == (shape, torch.bool, count)


def test_initial_masks_are_uniform():
    generator = seeded(1)
    hits = sum(initial_mask((10,), 3, generator).float() for _ in range(4000))
    # Each position is hit with probability .3; five standard deviations of a binomial of 4000 are 145.
    assert (hits - 1200).abs().max() < 145


# -- hand-made updates ------------------------------------------------------------------------------------------------

# Positions:                 0    1     2    3     4     5    6    7
WEIGHT = torch.tensor([[0.0, 3.0, -1.0, 2.0], [-4.0, 0.0, 0.5, 0.0]])
MASK = torch.tensor([[0, 1, 1, 1], [1, 0, 1, 0]], dtype=torch.bool)
GRADIENT = torch.tensor([[0.7, -0.1, 9.0, 0.2], [0.5, -0.9, 0.6, 0.1]])


@pytest.mark.parametrize(
    ("criterion", "pruned"),
    [
        (magnitude, [2, 6]),  # |w|: 3, 1, 2, 4, .5
        (mest, [3, 6]),  # |w| + |g|: 3.1, 10, 2.2, 4.5, 1.1
        (snip, [1, 6]),  # |w g|: .3, 9, .4, 2, .3: the lower position of equals first, then the other
        (reciprocal_sensitivity, [2, 6]),  # |w| / |g|: 30, .11, 10, 8, .83
        (sensitivity, [1, 3]),
        (set_intended, [2, 6]),  # of the positives 3, 2, .5 the last, of the negatives -1, -4 the first
    ],
)
def test_each_criterion_prunes_what_a_hand_would(criterion, pruned):
    result = update(WEIGHT, MASK, GRADIENT, 0.4, criterion)
    assert result.pruned.tolist() == pruned
    assert positions(result.kept) == {1, 2, 3, 4, 6} - set(pruned)


def test_gradient_growth_takes_the_steepest_inactive_entries_just_pruned_ones_included():
    # Magnitude prunes 2 and 6. Candidates by |g|: 2 (9.0, just pruned), 5 (.9), 0 (.7), 6 (.6, just pruned), 7 (.1).
    result = update(WEIGHT, MASK, GRADIENT, 0.4, magnitude)
    assert result.grown.tolist() == [2, 5]
    assert result.regrown.tolist() == [2]
    assert positions(result.mask) == {1, 2, 3, 4, 5}


def test_the_gradient_itself_is_a_growth_rule_and_stays_as_it_is():
    gradient = torch.tensor([[3.0, -9.0, 1.0, 2.0]])
    slopes = gradient.clone()
    layer = view(torch.tensor([[5.0, 0.0, 0.0, 0.0]]), torch.tensor([[True, False, False, False]]), gradient)
    layer = layer._replace(dense_gradient=lambda: slopes.flatten())
    rules = UpdateRules(magnitude, Growth(lambda weights: weights.gradient, reads_gradient=True))
    (result,) = update_topology([layer], [1.0], rules=rules, generators=[seeded()])
    assert result.active.tolist() == [0]  # the largest, not the steepest
    assert torch.equal(slopes, gradient)


def test_a_growth_rule_that_returns_another_shape_is_told():
    rules = UpdateRules(magnitude, Growth(lambda weights: weights.gradient.sum(), reads_gradient=True))
    layer = view(torch.ones(2, 2), torch.eye(2, dtype=torch.bool), torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"scores of shape \(\) for weights of shape \(4,\)"):
        list(update_topology([layer], [0.5], rules=rules, generators=[seeded()]))


@pytest.mark.parametrize(("found", "taken_for"), [(steepest, as_criterion), (magnitude, as_growth), (3, as_growth)])
def test_what_is_for_something_else_is_not_taken(found, taken_for):
    with pytest.raises(UserError, match=r"not a (criterion|growth rule)"):
        taken_for(found)


def test_each_neuron_loses_in_proportion_to_what_it_has():
    weight = torch.tensor([[5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 0.0, 0.0], [9.0, 3.0, 0.0, 0.0]])
    # Of 8 active weights 4 go: 2, 1 and 1. In the whole layer they would be 1, 2, 3 and 5.
    result = update(weight, weight != 0, weight, 0.5, magnitude, scope="neuron")
    assert result.pruned.tolist() == [0, 1, 4, 9]
    # Of 3 to go: 1.5, 0.75 and 0.75, so one each, of which the largest remainders are the last two.
    assert update(weight, weight != 0, weight, 0.375, magnitude, scope="neuron").pruned.tolist() == [0, 4, 9]


def test_the_least_important_of_all_layers_go_and_each_grows_what_it_lost():
    first, second = torch.tensor([[1.0, 2.0, 9.0, 0.0]]), torch.tensor([[3.0, 8.0, 0.0], [7.0, 0.0, 0.0]])
    layers = [view(weight, weight != 0, -weight.abs()) for weight in (first, second)]
    # Half of 3 and half of 3, rounded up, are 4 in all.
    rules = UpdateRules(magnitude, random_growth, "global")
    one, other = update_topology(layers, [0.5], rules=rules, generators=[seeded()])
    assert (one.pruned.tolist(), other.pruned.tolist()) == ([0, 1], [0, 3])
    assert (len(one.grown), len(other.grown)) == (2, 2)
    # A third: 2 in all, both of the first layer.
    one, other = update_topology(layers, [0.3], rules=rules, generators=[seeded()])
    assert (one.pruned.tolist(), other.pruned.tolist()) == ([0, 1], [])
    assert (len(one.grown), len(other.grown)) == (2, 0)


def test_equal_scores_are_taken_by_position():
    flat = torch.ones(6)
    mask = torch.tensor([True, False, True, True, False, True])
    result = update(flat * mask, mask, flat, 0.5, magnitude)
    assert result.pruned.tolist() == [0, 2]
    assert result.grown.tolist() == [0, 1]


def test_drop_count_rounds_up_but_not_for_floating_point():
    assert [drop_count(0.5, 3), drop_count(0.005, 10), drop_count(0.3, 10)] == [2, 1, 3]
    assert 0.07 * 100 > 7
    assert drop_count(0.07, 100) == 7


def test_set_removes_exactly_its_count_zeros_first_and_works_where_a_sign_is_missing_or_short():
    active = torch.ones(6, dtype=torch.bool)
    gradient = torch.zeros(6)

    def pruned(*weight: float) -> list[int]:
        return update(torch.tensor(weight), active, gradient, 0.5, set_intended).pruned.tolist()

    assert pruned(6, 5, 4, 3, 2, 1) == [3, 4, 5]  # no negatives to take
    assert pruned(-6, -5, -4, -3, -2, -1) == [3, 4, 5]
    assert pruned(-1, 5, 4, 3, 2, 1) == [0, 4, 5]  # the only negative goes
    assert pruned(-1, -2, -3, 3, 2, 1) == [0, 4, 5]  # of three, two are positive
    assert pruned(0, -2, -3, 3, 2, 1) == [0, 1, 5]  # the zero, and one of each sign
    assert pruned(5, 0, 0, 0, 0, -5) == [1, 2, 3]  # not the fourth zero: what dead units have grown stays at zero


def test_set_removes_both_signs_equally_from_symmetric_weights():
    half = torch.rand(500, generator=seeded()) + 0.1
    weight = torch.cat([half, -half])[torch.randperm(1000, generator=seeded())]
    for fraction in (0.5, 0.25, 0.1, 0.02, 0.005):
        gone = weight[update(weight, weight != 0, weight, fraction, set_intended).pruned]
        assert len(gone) == math.ceil(fraction * 1000)
        assert (gone < 0).sum() == len(gone) // 2


# -- oracles and invariants -------------------------------------------------------------------------------------------

small = st.integers(-4, 4).map(float)


@st.composite
def layers(draw: st.DrawFn, numel: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Weight (zero where inactive), mask and gradient of a layer; small integers, so that ties abound."""
    numel = numel or draw(st.integers(1, 24))
    entries = st.lists(small, min_size=numel, max_size=numel)
    active = draw(st.lists(st.booleans(), min_size=numel, max_size=numel).filter(any))
    mask = torch.tensor(active)
    return torch.tensor(draw(entries)) * mask, mask, torch.tensor(draw(entries))


fractions = st.sampled_from([0.005, 0.1, 0.25, 0.5, 0.8, 1.0])

# The same scores over exact rationals; a pair (1, x) stands above any (0, y).
EXACT = {
    "magnitude": lambda w, g: abs(w),
    "mest": lambda w, g: abs(w) + abs(g),
    "snip": lambda w, g: abs(w * g),
    "reciprocal-sensitivity": lambda w, g: (0, abs(w / g)) if g else (int(w != 0), abs(w)),
    "sensitivity": lambda w, g: (0, abs(g / w)) if w else (int(g != 0), abs(g)),
}


@given(layers(), fractions, st.sampled_from(sorted(EXACT)))
def test_updates_agree_with_full_sorts_over_exact_numbers(layer, fraction, name):
    weight, mask, gradient = layer
    w, g = ([Fraction(x) for x in tensor.tolist()] for tensor in (weight, gradient))
    active = sorted(positions(mask), key=lambda i: (EXACT[name](w[i], g[i]), i))
    count = math.ceil(Fraction(str(fraction)) * len(active))
    kept = set(active[count:])
    grown = sorted(set(range(len(w))) - kept, key=lambda i: (-abs(g[i]), i))[:count]

    result = update(weight, mask, gradient, fraction, ALL_CRITERIA[name])
    assert result.pruned.tolist() == sorted(active[:count])
    assert result.grown.tolist() == sorted(grown)
    assert result.regrown.tolist() == sorted(set(active[:count]) & set(grown))
    assert positions(result.kept) == kept
    assert positions(result.mask) == kept | set(grown)


@given(layers(), fractions, st.sampled_from(sorted(CRITERIA)), st.sampled_from(sorted(GROWTHS)))
def test_every_pair_of_rules_keeps_the_number_of_active_weights(layer, fraction, criterion, growth):
    weight, mask, gradient = layer
    result = update(weight, mask, gradient, fraction, ALL_CRITERIA[criterion], ALL_GROWTHS[growth])
    before, pruned, grown = positions(mask), set(result.pruned.tolist()), set(result.grown.tolist())
    assert pruned <= before
    assert len(pruned) == math.ceil(Fraction(str(fraction)) * len(before))
    assert len(grown) == len(pruned)
    assert positions(result.kept) == before - pruned
    assert not grown & positions(result.kept)
    assert positions(result.mask) == positions(result.kept) | grown
    assert int(result.mask.sum()) == len(before)


@pytest.mark.parametrize("scope", ["neuron", "global"])
@given(layers(numel=24), fractions, st.sampled_from(sorted(CRITERIA)), st.sampled_from(sorted(GROWTHS)))
def test_every_scope_prunes_and_grows_exactly_the_fraction(scope, layer, fraction, criterion, growth):
    rules = ALL_CRITERIA[criterion], ALL_GROWTHS[growth]
    folded = [tensor.view(4, 6) for tensor in layer]
    result = update(*folded, fraction, *rules, scope=scope)
    before = positions(layer[1])
    assert set(result.pruned.tolist()) <= before
    assert len(result.pruned) == len(result.grown) == math.ceil(Fraction(str(fraction)) * len(before))
    assert int(result.mask.sum()) == len(before)
    if scope == "global":  # of one layer that is the layer
        assert torch.equal(result.mask, update(*folded, fraction, *rules).mask)


@given(layers(), layers(), fractions, st.sampled_from(sorted(CRITERIA)))
def test_gradients_at_inactive_positions_never_matter_for_pruning(layer, other, fraction, criterion):
    weight, mask, gradient = layer
    noise = other[2].repeat(len(weight))[: len(weight)]
    changed = torch.where(mask, gradient, noise)
    before, after = (update(weight, mask, g, fraction, ALL_CRITERIA[criterion]) for g in (gradient, changed))
    assert torch.equal(before.kept, after.kept)


@given(layers(), layers(), fractions)
def test_gradients_at_kept_positions_never_matter_for_growth(layer, other, fraction):
    weight, mask, gradient = layer
    before = update(weight, mask, gradient, fraction, magnitude)
    changed = torch.where(before.kept, other[2].repeat(len(weight))[: len(weight)], gradient)
    assert torch.equal(before.mask, update(weight, mask, changed, fraction, magnitude).mask)


@given(layers(), fractions)
def test_inputs_are_left_alone(layer, fraction):
    copies = [tensor.clone() for tensor in layer]
    update(*layer, fraction, magnitude)
    assert all(torch.equal(a, b) for a, b in zip(layer, copies, strict=True))


@given(layers(numel=24), fractions, st.sampled_from(sorted(CRITERIA)), st.sampled_from(sorted(GROWTHS)))
def test_the_shape_and_memory_order_of_a_layer_do_not_matter(layer, fraction, criterion, growth):
    rules = ALL_CRITERIA[criterion], ALL_GROWTHS[growth]
    flat = update(*layer, fraction, *rules)
    folded = [t.view(2, 3, 2, 2).to(memory_format=torch.channels_last) for t in layer]
    result = update(*folded, fraction, *rules)
    assert result.mask.shape == (2, 3, 2, 2)
    assert positions(result.mask) == positions(flat.mask)
    assert torch.equal(result.pruned, flat.pruned)


# -- reductions -------------------------------------------------------------------------------------------------------


@given(layers(), fractions)
def test_mest_with_weight_zero_is_magnitude(layer, fraction):
    assert torch.equal(
        update(*layer, fraction, mest.configured(lambda_=0.0)).kept, update(*layer, fraction, magnitude).kept
    )


@given(layers(), fractions, st.sampled_from([snip, mest, reciprocal_sensitivity]), st.sampled_from([0.5, 2.0]))
def test_gradients_of_constant_size_reduce_to_magnitude(layer, fraction, criterion, size):
    weight, mask, gradient = layer
    level = torch.where(gradient < 0, -size, size)
    assert torch.equal(
        update(weight, mask, level, fraction, criterion).kept, update(weight, mask, level, fraction, magnitude).kept
    )


def test_sensitivity_reverses_the_ranking_of_reciprocal_sensitivity():
    weight, gradient = torch.rand(200, generator=seeded(1)) + 0.1, torch.rand(200, generator=seeded(2)) + 0.1
    mask = torch.ones(200, dtype=torch.bool)
    forward = update(weight, mask, gradient, 0.3, sensitivity)
    backward = update(weight, mask, gradient, 0.7, reciprocal_sensitivity)
    assert positions(forward.kept) == set(backward.pruned.tolist())


# -- random rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 0.95])
def test_share_of_pruned_weights_that_random_growth_regrows(density):
    numel, fraction = 40_000, 0.5
    mask = initial_mask((numel,), round(density * numel), seeded())
    weight = torch.randn(numel, generator=seeded(1)) * mask
    result = update(weight, mask, torch.zeros(numel), fraction, magnitude, random_growth, seed=2)
    chance = fraction * density / (1 - density + fraction * density)
    pruned = len(result.pruned)
    assert len(result.regrown) / pruned == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / pruned))


def test_a_dense_layer_regrows_everything():
    weight = torch.randn(50, generator=seeded())
    for growth in ALL_GROWTHS.values():
        result = update(weight, torch.ones(50, dtype=torch.bool), weight, 0.5, magnitude, growth)
        assert torch.equal(result.regrown, result.pruned)


def test_two_random_prunings_overlap_as_independent_subsets_do():
    mask = torch.ones(40_000, dtype=torch.bool)
    weight = torch.ones(40_000)
    first, second = (set(update(weight, mask, weight, 0.25, random, seed=s).pruned.tolist()) for s in (1, 2))
    assert len(first & second) / len(first | second) == pytest.approx(0.25 / 1.75, abs=0.01)
    assert first == set(update(weight, mask, weight, 0.25, random, seed=1).pruned.tolist())
