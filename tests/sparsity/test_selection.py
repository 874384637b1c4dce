"""Selection by threshold chooses what a stable full sort would choose."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.sparsity.selection import lowest, lowest_of_each_sign

# Few distinct values, so that ties at the threshold are the rule.
scores = st.lists(st.sampled_from([-math.inf, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, math.inf]), min_size=1, max_size=30)


@given(scores, st.data())
def test_lowest_agrees_with_a_stable_sort(values, data):
    count = data.draw(st.integers(0, len(values)))
    expected = sorted(range(len(values)), key=lambda i: (values[i], i))[:count]
    assert set(lowest(torch.tensor(values), count).nonzero().flatten().tolist()) == set(expected)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.data())
def test_the_count_is_exact_whatever_the_scores(values, data):
    count = data.draw(st.integers(0, len(values)))
    assert int(lowest(torch.tensor(values), count).sum()) == count


def test_nan_goes_first():
    assert lowest(torch.tensor([1.0, math.nan, -math.inf, 0.0]), 1).tolist() == [False, True, False, False]


@given(scores, st.data())
def test_each_sign_loses_its_half_and_zeros_go(values, data):
    values = [v for v in values if math.isfinite(v)]
    count = data.draw(st.integers(0, len(values)))
    half = math.ceil(count / 2)
    by_distance = sorted(range(len(values)), key=lambda i: (abs(values[i]), i))
    positive = [i for i in by_distance if values[i] > 0][:half]
    negative = [i for i in by_distance if values[i] < 0][:half]
    zero = [i for i in by_distance if values[i] == 0]
    chosen = lowest_of_each_sign(torch.tensor(values), count).nonzero().flatten().tolist()
    assert set(chosen) == {*positive, *negative, *zero}


@pytest.mark.gpu
def test_cuda_chooses_the_same_in_deterministic_mode():
    score = torch.randint(-50, 50, (10_000,), generator=torch.Generator().manual_seed(0)).float()
    torch.use_deterministic_algorithms(True)
    try:
        on_device = lowest(score.cuda(), 3_333)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(on_device.cpu(), lowest(score, 3_333))
