"""The active weights of one layer: how they are drawn, and how one topology update changes them. Pure functions.

An update is of M rows of N weights: the same layer of M runs that are trained as one, or of one run, M = 1. What each
run has pruned and grown is what it would have alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from petlsparse.sparsity.criteria import ActiveWeights, Criterion
from petlsparse.sparsity.growth import Growth
from petlsparse.sparsity.indices import indices_of, mask_of
from petlsparse.sparsity.selection import lowest, random_subset


def initial_mask(shape: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """A boolean mask with exactly `count` True, uniform among all such masks, on the generator's device."""
    return random_subset(math.prod(shape), count, generator).view(*shape)


def drop_count(drop_fraction: float, active: int) -> int:
    """ceil(drop_fraction * active), blind to rounding errors: 0.07 of 100 is 7."""
    return math.ceil(round(drop_fraction * active, 6))


class TopologyUpdate(NamedTuple):
    """What one update did to the rows of a layer: positions in the flattened (M, N), int64, ascending."""

    active: Tensor
    """What is active now: in every row as many as before the update."""
    pruned: Tensor
    """What pruning removed."""
    grown: Tensor
    """What growth added."""
    regrown: Tensor
    """What was removed and added again at once."""

    def of_rows(self, rows: int, size: int) -> "list[TopologyUpdate]":
        """The update of each row of so many weights, by positions in it."""
        if rows == 1:
            return [self]
        begins = torch.arange(rows + 1, device=self.active.device) * size
        bounds = torch.stack([torch.searchsorted(of_all, begins) for of_all in self]).tolist()
        return [
            TopologyUpdate(*(of_all[cut[i] : cut[i + 1]] - i * size for of_all, cut in zip(self, bounds, strict=True)))
            for i in range(rows)
        ]


def update_topology(
    active: Tensor,
    weights: Tensor,
    gradients: Tensor,
    counts: Sequence[int],
    drop_counts: Sequence[int],
    size: int,
    *,
    criterion: Criterion,
    growth: Growth,
    generators: Sequence[torch.Generator],
    dense_gradient: Tensor | None = None,
) -> TopologyUpdate:
    """Prune so many of the active weights of every row, and grow as many inactive ones.

    Pruning sees active entries only. Growth chooses among all entries that are inactive after pruning, those just
    pruned included. Of equal scores the lowest position is pruned, or grown, first. Nothing is changed in place.

    Args:
        active: positions of the active weights in the flattened (M, N), int64 (n,), ascending.
        weights: the active weights, (n,).
        gradients: their gradients, (n,).
        counts: active weights of each row.
        drop_counts: how many of them to prune; see `drop_count`.
        size: number N of weights of a row, active or not.
        criterion: decides what is pruned.
        growth: decides what is grown.
        generators: of each row, source of randomness of both.
        dense_gradient: gradient at every position, (M * N,); may be left out where growth does not read it.
    """
    rows = len(counts)
    score = _importance(criterion, weights, gradients, counts, generators)
    chosen = criterion.select(score, drop_counts, counts)
    pruned, kept = active[indices_of(chosen)], active[indices_of(~chosen)]
    now = mask_of(kept, rows * size)
    if growth.score is None:
        free = [random_inactive(*each) for each in zip(now.view(rows, size), drop_counts, generators, strict=True)]
        grown = torch.cat([row + i * size for i, row in enumerate(free)])
    else:
        slopes = gradients.new_zeros(()).expand(rows * size) if dense_gradient is None else dense_gradient
        urgency = _urgency(growth, slopes.view(rows, size), generators)
        grow_cost = urgency.neg_().index_fill_(0, kept, torch.inf)
        grown = indices_of(lowest(grow_cost, drop_counts, [size] * rows))
    now.index_fill_(0, grown, True)
    return TopologyUpdate(indices_of(now), pruned, grown, pruned[indices_of(now[pruned])])


def _importance(
    criterion: Criterion,
    weights: Tensor,
    gradients: Tensor,
    counts: Sequence[int],
    generators: Sequence[torch.Generator],
) -> Tensor:
    """The criterion's scores, (n,): row by row where it draws, else of all at once."""
    if not criterion.draws:
        return criterion.score(ActiveWeights(weights, gradients, generators[0]))
    parts = zip(torch.split(weights, [*counts]), torch.split(gradients, [*counts]), generators, strict=True)
    return torch.cat([criterion.score(ActiveWeights(*part)) for part in parts])


def _urgency(growth: Growth, gradients: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """The growth rule's scores, (M * N,), likewise."""
    assert growth.score is not None
    if not growth.draws:
        return growth.score(gradients.flatten(), generator=generators[0])
    return torch.cat([growth.score(row, generator=of) for row, of in zip(gradients, generators, strict=True)])


def random_inactive(active: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions, ascending, of `count` entries where a boolean (N,) is False, uniformly chosen."""
    inactive = indices_of(~active)
    chosen = random_subset(len(inactive), count, generator).to(active.device)
    return inactive[indices_of(chosen)]


def surviving(before: Tensor, update: TopologyUpdate, size: int, *, keep_regrown: bool) -> tuple[Tensor, Tensor]:
    """Which entries keep what they hold through an update: their indices in `before`, and in `update.active`.

    Both are ascending and belong together entry by entry; all other entries of `update.active` start anew.

    Args:
        before: positions that were active, (n,).
        update: what happened.
        size: number of weights of the layer.
        keep_regrown: whether a weight that was pruned and grown at once is among them.
    """
    last = mask_of(before, size).index_fill_(0, update.pruned, False)
    if keep_regrown:
        last.index_fill_(0, update.regrown, True)
    return indices_of(last[before]), indices_of(last[update.active])
