import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from petlsparse.analysis.statistics import summarise


def test_three_seeds_worked_by_hand() -> None:
    # mean 2, squared deviations 1 + 0 + 1, sample variance 2 / 2 = 1; t(0.975, 2) = 4.30265 from the usual table.
    summary = summarise([1.0, 2.0, 3.0])
    assert (summary.n, summary.mean, summary.sd) == (3, 2.0, 1.0)
    assert summary.half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert summary.low == pytest.approx(2 - 2.48414, abs=1e-4)
    assert summary.high == pytest.approx(2 + 2.48414, abs=1e-4)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12).filter(lambda values: np.std(values) > 1e-3))
def test_interval_equals_scipys(values: list[float]) -> None:
    summary = summarise(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (summary.low, summary.high) == (pytest.approx(low), pytest.approx(high))


def test_one_seed_has_a_mean_and_no_interval() -> None:
    summary = summarise([93.0])
    assert (summary.n, summary.mean, summary.sd, summary.half_width) == (1, 93.0, None, None)
    assert summary.low is None


def test_what_is_not_a_number_does_not_count() -> None:
    assert summarise([1.0, None, math.nan, math.inf, 3.0]) == summarise([1.0, 3.0])


def test_nothing_known_says_so() -> None:
    assert summarise([None]).mean is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert summarise([5.0, 5.0]).half_width == 0.0
