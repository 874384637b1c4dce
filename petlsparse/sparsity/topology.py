"""The mask of one layer: how it is drawn, and how one topology update changes it. Pure functions of tensors."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from petlsparse.sparsity.criteria import Criterion
from petlsparse.sparsity.growth import Growth
from petlsparse.sparsity.selection import lowest


def initial_mask(shape: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """A boolean mask with exactly `count` True, uniform among all such masks, on the generator's device."""
    draw = torch.rand(
        math.prod(shape), generator=generator, dtype=torch.float64, device=generator.device
    )  # float64: ties do not occur
    return lowest(draw, count).view(*shape)


class LayerUpdate(NamedTuple):
    """What one update did to a layer. Positions are indices into the flattened weight, in ascending order."""

    kept: Tensor
    """Mask after pruning, before growth: what was active all along."""
    mask: Tensor
    """Mask after growth, with as many True as before the update."""
    pruned: Tensor
    """Positions that pruning removed, int64 (k,)."""
    grown: Tensor
    """Positions that growth added, int64 (k,)."""
    regrown: Tensor
    """Positions that were removed and added again at once, int64 (r,)."""


def drop_count(drop_fraction: float, active: int) -> int:
    """ceil(drop_fraction * active), blind to rounding errors: 0.07 of 100 is 7."""
    return math.ceil(round(drop_fraction * active, 6))


def update_layer(
    weight: Tensor,
    mask: Tensor,
    gradient: Tensor,
    drop_fraction: float,
    *,
    criterion: Criterion,
    growth: Growth,
    generator: torch.Generator,
    mest_lambda: float = 1.0,
) -> LayerUpdate:
    """Prune a share of the active weights and grow as many inactive ones.

    Pruning sees active entries only. Growth chooses among all entries that are inactive after pruning, those just
    pruned included. Of equal scores the lowest position is pruned, or grown, first. Nothing is changed in place.

    Args:
        weight: any shape.
        mask: boolean, like weight.
        gradient: like weight, dense.
        drop_fraction: share of the active weights to prune, rounded up to a whole number.
        criterion: decides what is pruned.
        growth: decides what is grown.
        generator: source of randomness of both.
        mest_lambda: weight of the gradient in the criterion MEST.
    """
    slopes = gradient.flatten()
    active = mask.flatten().nonzero().squeeze(1)
    score = criterion.score(weight.flatten()[active], slopes[active], mest_lambda=mest_lambda, generator=generator)
    pruned = active[criterion.select(score, drop_count(drop_fraction, len(active)))]
    kept = mask.flatten().clone()
    kept[pruned] = False
    reluctance = -growth.score(slopes, generator=generator)
    grown = lowest(reluctance.masked_fill(kept, torch.inf), len(pruned)).nonzero().squeeze(1)
    grown_mask = kept.clone()
    grown_mask[grown] = True
    return LayerUpdate(
        kept=kept.view_as(mask),
        mask=grown_mask.view_as(mask),
        pruned=pruned,
        grown=grown,
        regrown=pruned[grown_mask[pruned]],
    )
