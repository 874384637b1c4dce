"""Choosing exactly so many of a list of scores, by selection and never by a full sort.

Ties and oddities are decided once for all: among equal scores the first in order is taken first, -0 equals 0, and NaN
ranks below everything, so that counts stay exact in a run that diverges. On the CPU NumPy does the work: its
comparisons, counts and partition are several times as fast as torch's. Elsewhere selection is by bisection, of all
segments at once, which needs no sort and is deterministic.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def lowest(score: Tensor, counts: Sequence[int], sizes: Sequence[int] | None = None) -> Tensor:
    """Mark the lowest entries of each segment of a list of scores.

    Args:
        score: (n,), any float type.
        counts: entries to mark in each segment, no more than it has.
        sizes: lengths of the segments, which follow each other and make up the list; None if it is one.

    Returns:
        Boolean (n,), with exactly as many True in each segment.
    """
    sizes = sizes or [len(score)]
    if _by_numpy(score):
        return _by_segment(_lowest, score, counts, sizes)
    ranks, among = _padded(_ranks(score), sizes)
    # No score ranks as high, so that what is no entry comes last.
    return _mark_lowest(ranks.masked_fill(~among, torch.iinfo(ranks.dtype).max), _column(counts, score))[among]


def lowest_of_each_sign(score: Tensor, counts: Sequence[int], sizes: Sequence[int] | None = None) -> Tensor:
    """Mark as many positive as negative entries of each segment, those closest to zero. Arguments as of `lowest`.

    Zeros, and NaN, have no sign and go first. Of an odd number the positive entries lose one more; where a sign has too
    few, the other gives the rest. (SET, 1707.04780, in the intended reading of 2306.12230. Deviations from that code,
    which rounds the half up and takes every zero and every tie with it: the count is exact, so that a layer many of
    whose grown weights have stayed at zero is not pruned beyond its drop fraction.)
    """
    sizes = sizes or [len(score)]
    if _by_numpy(score):
        return _by_segment(_lowest_of_each_sign, score, counts, sizes)
    padded, among = _padded(score, sizes)
    return _mark_lowest_of_each_sign(padded, _column(counts, score), among)[among]


def _by_segment(
    select: Callable[[np.ndarray, int], np.ndarray], score: Tensor, counts: Sequence[int], sizes: Sequence[int]
) -> Tensor:
    segments = np.split(_as_array(score), np.cumsum(sizes)[:-1])
    marked = [select(segment, count) for segment, count in zip(segments, counts, strict=True)]
    return torch.from_numpy(marked[0] if len(marked) == 1 else np.concatenate(marked))


def _padded(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Segments as rows (M, longest), filled up with zeros, and which entries of the rows are theirs."""
    among = torch.arange(max(sizes), device=values.device) < _column(sizes, values)
    return torch.zeros_like(among, dtype=values.dtype).masked_scatter_(among, values), among


def _column(numbers: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(list(numbers), device=like.device)[:, None]


def random_subset(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Mark `count` of so many entries, uniformly among all such choices: a boolean (size,) on the generator's device.

    Takes time for what is marked, or left out if that is less, and a pass or two over a byte per entry.
    """
    if count > size // 2:
        return ~random_subset(size, size - count, generator)
    marked = torch.zeros(size, dtype=torch.bool, device=generator.device)
    missing = count
    while missing:
        # No draw can overshoot, and every entry is as likely as any other to be among the marked.
        marked[torch.randint(size, (missing,), generator=generator, device=generator.device)] = True
        missing = count - int(marked.count_nonzero())
    return marked


SAMPLE = 32_768
"""Scores looked at to bracket the threshold of a long list; one less than twice as long is partitioned (measured)."""


def _by_numpy(score: Tensor) -> bool:
    return score.device.type == "cpu"


def _as_array(score: Tensor) -> np.ndarray:
    score = score.detach()
    return (score.float() if score.dtype == torch.bfloat16 else score).numpy()


def _lowest(score: np.ndarray, count: int) -> np.ndarray:
    """Three passes over a long list: most scores are clearly in or clearly out, the rest are few and partitioned."""
    if len(score) < 2 * SAMPLE:
        return _lowest_by_partition(score, count)
    low, high = _bracket(score, count)
    between, marked = score <= high, score >= low
    between &= marked
    np.logical_not(marked, out=marked)  # below `low`, or NaN
    unsure, missing = np.flatnonzero(between), count - int(np.count_nonzero(marked))
    if not 0 <= missing <= len(unsure) <= len(score) // 4:  # the sample misled, or very many are equal
        return _lowest_by_partition(score, count)
    marked[unsure[_lowest_by_partition(score[unsure], missing)]] = True
    return marked


def _bracket(score: np.ndarray, count: int) -> tuple[float, float]:
    """Bounds between which the threshold lies in all likelihood, from an evenly spaced sample."""
    # The step is odd: weights come in rows whose length often is a power of two.
    sample = -np.sort(-score[:: len(score) // SAMPLE | 1])[::-1]  # ascending, NaN first
    share = count / len(score)
    rank, slack = share * len(sample), 3 * math.sqrt(share * (1 - share) * len(sample)) + 3
    low = sample[int(rank - slack)] if rank >= slack else -math.inf
    high = sample[int(rank + slack)] if rank + slack < len(sample) else math.inf
    return low, high


def _lowest_by_partition(score: np.ndarray, count: int) -> np.ndarray:
    marked = np.zeros(len(score), dtype=bool)
    if count == 0:
        return marked
    turned = -score  # NaN, which is partitioned to the end, is thereby first
    turned.partition(len(score) - count)
    threshold = -turned[len(score) - count]
    if np.isnan(threshold):
        tied = np.isnan(score)
    else:
        tied = score == threshold
        np.logical_not(score >= threshold, out=marked)
    marked[np.flatnonzero(tied)[: count - np.count_nonzero(marked)]] = True
    return marked


def _lowest_of_each_sign(score: np.ndarray, count: int) -> np.ndarray:
    positive, negative = np.flatnonzero(score > 0), np.flatnonzero(score < 0)
    unsigned = np.flatnonzero(~((score > 0) | (score < 0)))
    marked = np.zeros(len(score), dtype=bool)
    marked[unsigned[:count]] = True
    rest = max(count - len(unsigned), 0)
    of_positive = min(max(-(-rest // 2), rest - len(negative)), len(positive))
    for members, share in ((positive, of_positive), (negative, rest - of_positive)):
        marked[members[_lowest(np.abs(score[members]), share)]] = True
    return marked


def _ranks(score: Tensor) -> Tensor:
    """Integers in the order of the floats, as wide as they are: their bits, those of negative numbers turned round."""
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[score.element_size()]
    limits = torch.iinfo(integer)
    bits = (score + 0.0).view(integer)  # -0 + 0 is 0
    ranks = bits ^ ((bits >> (limits.bits - 1)) & limits.max)
    return ranks.masked_fill_(score.isnan(), limits.min)


def _mark_lowest(ranks: Tensor, counts: Tensor) -> Tensor:
    """Of every row (M, N), by counts (M, 1)."""
    threshold = _thresholds(ranks, counts)
    below, tied = ranks < threshold, ranks == threshold
    missing = counts - below.sum(1, keepdim=True)
    return below | (tied & (tied.cumsum(1, dtype=torch.int32) <= missing))


def _thresholds(ranks: Tensor, counts: Tensor) -> Tensor:
    """(M, N), (M, 1) -> (M, 1): the least integer that at least `counts` of the row do not exceed."""
    limits = torch.iinfo(ranks.dtype)
    low, high = (
        torch.full_like(counts, limits.min, dtype=ranks.dtype),
        torch.full_like(counts, limits.max, dtype=ranks.dtype),
    )
    for _ in range(limits.bits):
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, rounded down without overflow
        enough = (ranks <= middle).sum(1, keepdim=True) >= counts
        low, high = torch.where(enough, low, middle + 1), torch.where(enough, middle, high)
    return high


def _mark_lowest_of_each_sign(score: Tensor, counts: Tensor, among: Tensor) -> Tensor:
    """Of every row (M, N), by counts (M, 1), in what is `among` it."""
    positive, negative = (score > 0) & among, (score < 0) & among
    unsigned = among & ~(positive | negative)
    marked = unsigned & (unsigned.cumsum(1, dtype=torch.int32) <= counts)
    rest = (counts - unsigned.sum(1, keepdim=True)).clamp_(min=0)
    of_positive = torch.minimum(
        torch.maximum((rest + 1) // 2, rest - negative.sum(1, keepdim=True)), positive.sum(1, keepdim=True)
    )
    distance = _ranks(score.abs())
    for side, share in ((positive, of_positive), (negative, rest - of_positive)):
        others_last = distance.masked_fill(~side, torch.iinfo(distance.dtype).max)
        marked |= _mark_lowest(others_last, share)
    return marked
