"""Updates come when, and replace as much as, the study says."""

import pytest
import torch

from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, DROP_SCHEDULES, GROWTHS
from petlsparse.sparsity.criteria import Criterion, magnitude, snip
from petlsparse.sparsity.growth import Growth, random
from petlsparse.sparsity.schedules import constant, cosine, linear
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates


def updates(total_steps: int, update_period: int = 800, criterion: Criterion = magnitude, **options) -> TopologyUpdates:
    return TopologyUpdates(UpdateRules(criterion, random), torch.Generator(), total_steps, update_period, **options)


@pytest.mark.parametrize(
    ("total", "step", "fraction"),
    [
        (35_200, 800, 0.499369),
        (35_200, 8_800, 0.427509),
        (35_200, 17_600, 0.2525),
        (35_200, 26_400, 0.077491),
        (35_200, 34_400, 0.005631),
        (35_200, 35_200, 0.005),
        (70_400, 800, 0.499842),
        (70_400, 69_600, 0.005158),
    ],
)
def test_cosine_drop_fractions_are_those_of_the_study(total, step, fraction):
    assert cosine(0.5, step, total) == pytest.approx(fraction, abs=5e-7)
    assert updates(total).fraction(step) == cosine(0.5, step, total)


def test_linear_and_constant():
    assert [linear(0.5, step, 4) for step in (0, 1, 2, 4)] == pytest.approx([0.5, 0.37625, 0.2525, 0.005])
    assert [constant(0.3, step, 4) for step in (0, 2, 4)] == [0.3, 0.3, 0.3]


@pytest.mark.parametrize("schedule", [cosine, linear])
def test_an_initial_fraction_below_the_floor_does_not_rise(schedule):
    assert [schedule(0.001, step, 10) for step in (0, 5, 10)] == pytest.approx([0.001] * 3)


# Total steps, period, updates of the released code (2306.12230, grids); one fewer where the last step is skipped.
COUNTS = [(35_200, dt, n) for dt, n in {25: 1408, 50: 704, 100: 352, 150: 234, 200: 176, 400: 88, 800: 44}.items()]
COUNTS += [(35_200, dt, n) for dt, n in {1600: 22, 3200: 11, 6400: 5}.items()]
COUNTS += [(70_400, dt, n) for dt, n in {25: 2816, 100: 704, 800: 88, 6400: 11, 12800: 5}.items()]
COUNTS += [(78_200, 800, 97), (42_200, 800, 52), (5_300, 100, 53), (78_200, 100, 782), (450_360, 800, 562)]


@pytest.mark.parametrize(("total", "period", "count"), COUNTS)
def test_update_counts_are_those_of_the_study(total, period, count):
    released = updates(total, period, update_last_step=True)
    assert released.count == count == sum(released.due(step) for step in range(1, total + 1))
    ours = updates(total, period)
    assert ours.count == count - (total % period == 0) == sum(ours.due(step) for step in range(1, total + 1))


def test_the_first_update_is_at_the_period_and_the_last_step_is_spared():
    assert [step for step in range(1, 13) if updates(12, 3).due(step)] == [3, 6, 9]
    assert [step for step in range(1, 13) if updates(12, 3, update_last_step=True).due(step)] == [3, 6, 9, 12]


def test_update_stop_ends_the_updates_and_the_decay():
    rigl = updates(400, 10, update_stop=0.75)
    assert [step for step in range(1, 401) if rigl.due(step)] == list(range(10, 301, 10))
    assert rigl.fraction(300) == pytest.approx(0.005)
    assert rigl.fraction(150) == pytest.approx(0.2525)
    assert 0.57 * 100 < 57
    assert updates(100, 57, update_stop=0.57).count == 1


def test_criteria_that_read_the_gradient_update_before_the_step_unless_told_otherwise():
    assert updates(10, criterion=snip).before_step
    assert not updates(10, criterion=magnitude).before_step
    assert not updates(10, criterion=snip, update_point="after-step").before_step
    assert updates(10, criterion=magnitude, update_point="before-step").before_step
    before = {name for name in CRITERIA if updates(10, criterion=resolve(CRITERIA, name, "criterion")).before_step}
    assert before == {"mest", "snip", "reciprocal-sensitivity", "sensitivity"}


def test_every_registered_name_resolves():
    assert all(isinstance(resolve(CRITERIA, name, "criterion"), Criterion) for name in CRITERIA)
    assert all(isinstance(resolve(GROWTHS, name, "growth rule"), Growth) for name in GROWTHS)
    assert all(0 < resolve(DROP_SCHEDULES, name, "schedule")(0.5, 3, 7.0) <= 0.5 for name in DROP_SCHEDULES)
