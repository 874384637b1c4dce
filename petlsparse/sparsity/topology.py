"""The active weights of one layer: how they are drawn, and how one topology update changes them. Pure functions."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from petlsparse.sparsity.criteria import Criterion
from petlsparse.sparsity.growth import Growth
from petlsparse.sparsity.positions import marks, positions
from petlsparse.sparsity.selection import any_of, lowest


def initial_mask(shape: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """A boolean mask with exactly `count` True, uniform among all such masks, on the generator's device."""
    return any_of(math.prod(shape), count, generator).view(*shape)


class LayerUpdate(NamedTuple):
    """What one update did to a layer: positions in the flattened weight, int64, ascending."""

    active: Tensor
    """What is active now, (n,): as many as before the update."""
    pruned: Tensor
    """What pruning removed, (k,)."""
    grown: Tensor
    """What growth added, (k,)."""
    regrown: Tensor
    """What was removed and added again at once, (r,)."""


def drop_count(drop_fraction: float, active: int) -> int:
    """ceil(drop_fraction * active), blind to rounding errors: 0.07 of 100 is 7."""
    return math.ceil(round(drop_fraction * active, 6))


def update_layer(
    active: Tensor,
    weights: Tensor,
    gradients: Tensor,
    size: int,
    drop_fraction: float,
    *,
    criterion: Criterion,
    growth: Growth,
    generator: torch.Generator,
    dense_gradient: Tensor | None = None,
    mest_lambda: float = 1.0,
) -> LayerUpdate:
    """Prune a share of the active weights and grow as many inactive ones.

    Pruning sees active entries only. Growth chooses among all entries that are inactive after pruning, those just
    pruned included. Of equal scores the lowest position is pruned, or grown, first. Nothing is changed in place.

    Args:
        active: positions of the active weights, int64 (n,), ascending.
        weights: the active weights, (n,).
        gradients: their gradients, (n,).
        size: number N of weights of the layer, active or not.
        drop_fraction: share of the active weights to prune, rounded up to a whole number.
        criterion: decides what is pruned.
        growth: decides what is grown.
        generator: source of randomness of both.
        dense_gradient: gradient at every position, (N,); may be left out where growth does not read it.
        mest_lambda: weight of the gradient in the criterion MEST.
    """
    score = criterion.score(weights, gradients, mest_lambda=mest_lambda, generator=generator)
    chosen = criterion.select(score, drop_count(drop_fraction, len(active)))
    pruned, kept = active[positions(chosen)], active[positions(~chosen)]
    now = marks(kept, size)
    if growth.score is None:
        grown = any_inactive(now, len(pruned), generator)
    else:
        slopes = gradients.new_zeros(()).expand(size) if dense_gradient is None else dense_gradient
        reluctance = growth.score(slopes, generator=generator).neg_()
        reluctance.index_fill_(0, kept, torch.inf)
        grown = positions(lowest(reluctance, len(pruned)))
    now.index_fill_(0, grown, True)
    return LayerUpdate(active=positions(now), pruned=pruned, grown=grown, regrown=pruned[positions(now[pruned])])


def any_inactive(active: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions, ascending, of `count` entries where a boolean (N,) is False, uniformly chosen."""
    inactive = positions(~active)
    chosen = any_of(len(inactive), count, generator).to(active.device)
    return inactive[positions(chosen)]


def lasting(before: Tensor, update: LayerUpdate, size: int, *, keep_regrown: bool) -> tuple[Tensor, Tensor]:
    """Which entries keep what they hold through an update: their indices in `before`, and in `update.active`.

    Both are ascending and belong together entry by entry; all other entries of `update.active` start anew.

    Args:
        before: positions that were active, (n,).
        update: what happened.
        size: number of weights of the layer.
        keep_regrown: whether a weight that was pruned and grown at once is among them.
    """
    last = marks(before, size).index_fill_(0, update.pruned, False)
    if keep_regrown:
        last.index_fill_(0, update.regrown, True)
    return positions(last[before]), positions(last[update.active])
