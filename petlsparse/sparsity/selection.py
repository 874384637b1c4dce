"""Choosing exactly so many of a list of scores, by selection and never by a full sort."""

import torch
from torch import Tensor


def lowest(score: Tensor, count: int) -> Tensor:
    """Mark the `count` lowest entries of `score` (n,): a boolean tensor (n,) with exactly `count` True.

    Among equal scores the first in order is taken first. NaN ranks below everything, so that the count stays exact
    in a run that diverges.
    """
    if count == 0:
        return torch.zeros_like(score, dtype=torch.bool)
    score = torch.nan_to_num(score, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    threshold = _kth_lowest(score, count)
    chosen = score < threshold
    tied = (score == threshold).nonzero().squeeze(1)
    chosen[tied[: count - int(chosen.sum())]] = True
    return chosen


def lowest_of_each_sign(score: Tensor, count: int) -> Tensor:
    """Mark the h positive and h negative entries of `score` (n,) closest to zero, and all zeros; h = ceil(count / 2).

    A sign with fewer than h entries is taken whole, so the number marked may fall short of `count`, or exceed it by
    one and the zeros. (SET, 1707.04780, in the intended reading of 2306.12230; that code also takes what ties with the
    h-th entry, here the first in order goes first.)
    """
    half = -(-count // 2)
    chosen = score == 0
    for side in (score > 0, score < 0):
        members = side.nonzero().squeeze(1)
        chosen[members[lowest(score[members].abs(), min(half, len(members)))]] = True
    return chosen


def _kth_lowest(score: Tensor, k: int) -> Tensor:
    if score.device.type == "cpu":
        return score.kthvalue(k).values
    # On CUDA torch refuses kthvalue in deterministic mode, because of the index that comes with the value.
    return score.topk(k, largest=False, sorted=False).values.amax()
