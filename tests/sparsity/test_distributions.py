"""Densities are those of the study; counts are integers that add up exactly."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.errors import UserError
from petlsparse.networks import build_network
from petlsparse.sparsity import DISTRIBUTIONS
from petlsparse.sparsity.distributions import er, erk, layer_counts, uniform
from petlsparse.sparsity.maskable import maskable

MLP = [(1024, 3072), (512, 1024), (10, 512)]
SMALL_CONV = [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (10, 128)]
LENET5 = [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
HIGGS = [(256, 24), (256, 256), (1, 256)]

# 2306.12230, densities measured in the released code.
STUDY = [
    (MLP, 0.05, [0.0413, 0.0929, 1]),
    (MLP, 0.1, [0.0838, 0.1885, 1]),
    (MLP, 0.2, [0.1688, 0.3797, 1]),
    (MLP, 0.5, [0.4237, 0.9532, 1]),
    (SMALL_CONV, 0.05, [0.4780, 0.0557, 0.0271, 1]),
    (SMALL_CONV, 0.1, [1, 0.1344, 0.0652, 1]),
    (SMALL_CONV, 0.2, [1, 0.3084, 0.1496, 1]),
    (SMALL_CONV, 0.5, [1, 0.8302, 0.4029, 1]),
    (LENET5, 0.05, [0.7261, 0.0375, 0.0381, 1]),
    (LENET5, 0.1, [1, 0.0871, 0.0884, 1]),
    (LENET5, 0.2, [1, 0.1869, 0.1898, 1]),
    (LENET5, 0.5, [1, 0.4864, 0.4940, 1]),
    (HIGGS, 0.05, [0.1922, 0.0330, 1]),
    (HIGGS, 0.1, [0.3992, 0.0684, 1]),
    (HIGGS, 0.2, [0.8131, 0.1394, 1]),
    (HIGGS, 0.5, [1, 0.4512, 1]),
]


@pytest.mark.parametrize(("shapes", "density", "expected"), STUDY)
def test_erk_gives_the_densities_of_the_study_to_four_digits(shapes, density, expected):
    densities = erk(shapes, density)
    assert [round(d, 4) for d in densities] == expected
    kept = sum(d * math.prod(shape) for d, shape in zip(densities, shapes, strict=True))
    assert kept == pytest.approx(density * sum(map(math.prod, shapes)))


@pytest.mark.parametrize(
    ("density", "targets"), [(0.05, [129_917.7, 48_719.1, 5_120]), (0.2, [530_841.6, 199_065.6, 5_120])]
)
def test_erk_targets_of_the_mlp(density, targets):
    kept = [d * math.prod(shape) for d, shape in zip(erk(MLP, density), MLP, strict=True)]
    assert kept == pytest.approx(targets, abs=0.05)
    counts = layer_counts(dict(enumerate(MLP)), density, "erk")
    assert [abs(count - target) < 1 for count, target in zip(counts.values(), targets, strict=True)] == [True] * 3


def test_the_networks_of_this_package_have_these_shapes():
    for name, image, shapes in [
        ("mlp", (3, 32, 32), MLP),
        ("small-conv", (3, 32, 32), SMALL_CONV),
        ("lenet5", (1, 28, 28), LENET5),
    ]:
        assert [tuple(w.shape) for w in maskable(build_network(name, image, 10)).values()] == shapes


def test_er_ignores_the_kernel_and_erk_does_not():
    # Two layers of equal width, kernels of 9 and of 1: raw densities 20/100 and 20/100 against 26/900 and 22/100.
    shapes = [(10, 10, 3, 3), (10, 10, 1, 1)]
    assert er(shapes, 0.3) == pytest.approx([0.3, 0.3])
    assert erk(shapes, 0.12) == pytest.approx([26 / 900 * 120 / 48, 22 / 100 * 120 / 48])
    assert er(MLP, 0.1) == erk(MLP, 0.1)


def test_uniform_is_uniform():
    assert uniform(MLP, 0.3) == [0.3, 0.3, 0.3]


def test_largest_remainders_are_rounded_up_and_equal_ones_in_order():
    # Shares 2.25, 4.5, 2.25: total 9, wholes 2 + 4 + 2, the ninth to the largest remainder.
    assert layer_counts({"a": (9, 1), "b": (9, 2), "c": (9, 1)}, 0.25, "uniform") == {"a": 2, "b": 5, "c": 2}
    # Shares 1.5, 1.5, 1.5, 1.5: total 6, two of the equal remainders rounded up.
    assert layer_counts(dict.fromkeys("abcd", (3, 1)), 0.5, "uniform") == {"a": 2, "b": 2, "c": 1, "d": 1}


def test_a_layer_too_small_for_a_whole_weight_gets_one_and_others_pay():
    # Shares .1, .1 and 10: total round(10.2) = 10, of which the small layers take one each.
    assert layer_counts({"a": (1, 1), "b": (1, 1), "c": (100, 1)}, 0.1, "uniform") == {"a": 1, "b": 1, "c": 8}


layers = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=7,
)


@given(layers, st.floats(0.001, 1), st.sampled_from(sorted(DISTRIBUTIONS)))
def test_counts_add_up_exactly_and_stay_between_one_and_the_layer(shapes, density, distribution):
    sizes = [math.prod(shape) for shape in shapes]
    total = round(density * sum(sizes))
    if total < len(shapes):
        with pytest.raises(UserError, match="at least one weight"):
            layer_counts(dict(enumerate(shapes)), density, distribution)
        return
    counts = list(layer_counts(dict(enumerate(shapes)), density, distribution).values())
    assert sum(counts) == total
    assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))


@given(layers, st.floats(0.001, 1), st.sampled_from([er, erk]))
def test_proportional_densities_keep_the_total_and_never_exceed_one(shapes, density, rule):
    densities = rule(shapes, density)
    assert all(0 <= d <= 1 + 1e-12 for d in densities)
    kept = sum(d * math.prod(shape) for d, shape in zip(densities, shapes, strict=True))
    assert kept == pytest.approx(density * sum(map(math.prod, shapes)))
    # Sparse layers share one proportionality factor.
    raw = [sum(s) / math.prod(s) if rule is erk else sum(s[:2]) / math.prod(s[:2]) for s in shapes]
    factors = [d / r for d, r in zip(densities, raw, strict=True) if d < 1]
    assert factors == pytest.approx([factors[0]] * len(factors) if factors else [])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_density_one_is_all_ones(distribution):
    assert list(layer_counts(dict(enumerate(LENET5)), 1.0, distribution).values()) == [500, 25_000, 400_000, 5_000]


@pytest.mark.parametrize(
    ("density", "distribution"), [(0, "erk"), (-0.1, "erk"), (1.1, "erk"), (math.nan, "erk"), (0.5, "erq")]
)
def test_a_density_or_name_that_makes_no_sense_is_a_user_error(density, distribution):
    with pytest.raises(UserError):
        layer_counts({"a": (3, 3)}, density, distribution)
