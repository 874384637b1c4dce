"""Selection by threshold chooses what a stable full sort would choose."""

import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from petlsparse.sparsity import selection
from petlsparse.sparsity.selection import lowest, lowest_of_each_sign

# Few distinct values, so that ties at the threshold are the rule.
values = st.sampled_from([-math.inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan])
scores = st.lists(values, min_size=1, max_size=30)
dtypes = st.sampled_from([torch.float32, torch.float64])


def place(value: float, index: int) -> tuple[bool, float, int]:
    """What a sort goes by: NaN before everything, then the value, then the order."""
    return (False, 0.0, index) if math.isnan(value) else (True, value, index)


def chosen_by_sort(values: list[float], count: int) -> set[int]:
    return set(sorted(range(len(values)), key=lambda i: place(values[i], i))[:count])


def chosen_of_each_sign(values: list[float], count: int) -> set[int]:
    """One after another: what has no sign, then positive and negative in turn while there are any."""
    positive = sorted((value, i) for i, value in enumerate(values) if value > 0)
    negative = sorted((-value, i) for i, value in enumerate(values) if value < 0)
    chosen = [i for i, value in enumerate(values) if not (value > 0 or value < 0)][:count]
    sides = [positive, negative]
    while len(chosen) < count:
        if sides[0]:
            chosen.append(sides[0].pop(0)[1])
        sides.reverse()
    return set(chosen)


def members(marks: Tensor) -> set[int]:
    assert marks.dtype == torch.bool
    return set(marks.nonzero().flatten().tolist())


def mark_by_sort(score: Tensor, count: int) -> Tensor:
    """`chosen_by_sort` for lists of many thousands."""
    keys = score.numpy()
    order = np.lexsort((np.arange(len(keys)), keys, ~np.isnan(keys)))
    return torch.zeros(len(keys), dtype=torch.bool).index_fill_(0, torch.from_numpy(order[:count].copy()), True)


def draw(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


@given(scores, dtypes, st.data())
def test_lowest_agrees_with_a_stable_sort(values, dtype, data):
    count = data.draw(st.integers(0, len(values)))
    assert members(lowest(torch.tensor(values, dtype=dtype), [count])) == chosen_by_sort(values, count)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), dtypes, st.data())
def test_lowest_agrees_with_a_stable_sort_whatever_the_floats(values, dtype, data):
    count = data.draw(st.integers(0, len(values)))
    assert members(lowest(torch.tensor(values, dtype=dtype), [count])) == chosen_by_sort(values, count)


@given(st.lists(values, min_size=16, max_size=60) | st.lists(st.floats(width=32), min_size=16, max_size=60), st.data())
def test_a_sample_too_small_to_be_trusted_changes_nothing(values, data):
    count = data.draw(st.integers(0, len(values)))
    with patch.object(selection, "SAMPLE", 8):
        assert members(lowest(torch.tensor(values), [count])) == chosen_by_sort(values, count)


def test_a_score_of_nan_goes_before_minus_infinity():
    score = torch.tensor([1.0, -math.inf, math.nan, 0.0])
    assert lowest(score, [1]).tolist() == [False, False, True, False]
    assert lowest(score, [2]).tolist() == [False, True, True, False]


LONG = {
    "distinct": draw(100_000),
    "float64": draw(100_000).double(),
    "tied": draw(100_000).mul(100).round(),
    "half of it zero": draw(100_000).relu(),
    "with infinities and NaN": torch.where(
        draw(100_000, 1) > 0.5, torch.tensor([math.inf, -math.inf, math.nan]).repeat(33_334)[:100_000], draw(100_000)
    ),
    "all equal": torch.zeros(100_000),
    "all NaN": torch.full((100_000,), math.nan),
    "ascending": torch.arange(100_000.0),
}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("count", [0, 1, 700, 20_000, 50_000, 99_999, 100_000])
def test_long_lists_agree_with_a_stable_sort(kind, count):
    assert torch.equal(lowest(LONG[kind], [count]), mark_by_sort(LONG[kind], count))


def partitioned(score: Tensor, count: int) -> int:
    """Select, check, and say how many entries were partitioned at most."""
    lengths = [0]
    by_partition = selection._lowest_by_partition

    def spy(score, count):
        lengths.append(len(score))
        return by_partition(score, count)

    with patch.object(selection, "_lowest_by_partition", spy):
        chosen = lowest(score, [count])
    assert torch.equal(chosen, mark_by_sort(score, count))
    return max(lengths)


@pytest.mark.parametrize("count", [700, 20_000, 50_000])
def test_of_a_long_list_only_a_few_are_partitioned(count):
    assert partitioned(draw(100_000), count) < 10_000


def test_a_sample_that_misleads_is_noticed():
    score = draw(100_000)
    score[:: 100_000 // selection.SAMPLE | 1] += 100  # the very entries that are looked at
    assert partitioned(score, 50_000) == 100_000


def test_bfloat16_is_selected_from_too():
    score = torch.tensor([3.0, -1.0, 2.0, -1.0], dtype=torch.bfloat16)
    assert lowest(score, [2]).tolist() == [False, True, False, True]


@given(scores, dtypes, st.data())
def test_each_sign_loses_its_half_zeros_first_and_the_count_is_exact(values, dtype, data):
    count = data.draw(st.integers(0, len(values)))
    chosen = lowest_of_each_sign(torch.tensor(values, dtype=dtype), [count])
    assert members(chosen) == chosen_of_each_sign(values, count)


@st.composite
def segments(draw):
    """Lists of scores that follow each other, and a count for each."""
    lists = draw(st.lists(scores, min_size=1, max_size=5))
    return lists, [draw(st.integers(0, len(each))) for each in lists]


@pytest.mark.parametrize("device", ["cpu", "as on a GPU"])
@pytest.mark.parametrize(("select", "by_hand"), [(lowest, chosen_by_sort), (lowest_of_each_sign, chosen_of_each_sign)])
@given(segments=segments(), dtype=dtypes)
def test_every_segment_loses_its_own_count(select, by_hand, device, segments, dtype):
    lists, counts = segments
    sizes = [len(each) for each in lists]
    with patch.object(selection, "_by_numpy", lambda score: device == "cpu"):
        marks = select(torch.tensor([value for each in lists for value in each], dtype=dtype), counts, sizes)
    expected = [by_hand(each, count) for each, count in zip(lists, counts, strict=True)]
    assert [members(part) for part in marks.split(sizes)] == expected


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=20))
def test_ranks_are_in_the_order_of_the_floats(values):
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        score = torch.tensor(values, dtype=dtype)
        ranks = selection._ranks(score)
        assert torch.equal(ranks[:, None] < ranks, score[:, None] < score)
        assert torch.equal(ranks[:, None] == ranks, score[:, None] == score)


@pytest.mark.parametrize("kind", LONG)
def test_bisection_agrees_on_long_lists(kind):
    counts = [0, 1, 33_333, 100_000]
    with patch.object(selection, "_by_numpy", lambda score: False):
        marks = lowest(LONG[kind].repeat(4), counts, [100_000] * 4)
    for row, count in zip(marks.view(4, -1), counts, strict=True):
        assert torch.equal(row, mark_by_sort(LONG[kind], count))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", LONG)
def test_cuda_chooses_the_same_in_deterministic_mode(kind):
    score = LONG[kind]
    torch.use_deterministic_algorithms(True)
    try:
        on_device = lowest(score.cuda(), [33_333]), lowest_of_each_sign(score.cuda(), [33_333])
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(on_device[0].cpu(), lowest(score, [33_333]))
    assert torch.equal(on_device[1].cpu(), lowest_of_each_sign(score, [33_333]))
