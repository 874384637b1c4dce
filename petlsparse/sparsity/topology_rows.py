"""One topology update of the same layer of several runs at once: `update_layer` of each, on masks instead of positions.

What is pruned and grown is exactly what each run alone would prune and grow. The device is waited for only where random
numbers are drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from petlsparse.sparsity.criteria import Criterion
from petlsparse.sparsity.growth import Growth
from petlsparse.sparsity.positions import positions
from petlsparse.sparsity.selection import lowest_rows
from petlsparse.sparsity.topology import any_inactive


class RowsUpdate(NamedTuple):
    """What one update did, as booleans (M, N) over the flattened weights."""

    active: Tensor
    """What is active now: in every row as many as before."""
    pruned: Tensor
    grown: Tensor


def update_rows(
    active: Tensor,
    weights: Tensor,
    gradients: Tensor,
    drop_counts: Sequence[int],
    *,
    criterion: Criterion,
    growth: Growth,
    generators: Sequence[torch.Generator],
    mest_lambdas: Sequence[float],
) -> RowsUpdate:
    """Prune so many of the active weights of each run and grow as many inactive ones. Nothing is changed in place.

    Args:
        active: boolean (M, N).
        weights: of all entries, (M, N); those of inactive ones do not matter.
        gradients: likewise; of inactive entries they matter for growth alone.
        drop_counts: weights to prune, per run; see `topology.drop_count`.
        criterion: decides what is pruned, the same for all.
        growth: decides what is grown, the same for all.
        generators: each run's own.
        mest_lambdas: each run's weight of the gradient in the criterion MEST.
    """
    runs = range(len(active))
    if criterion.draws:
        score = torch.zeros_like(weights, dtype=torch.float64)
        for i in runs:
            where = positions(active[i])
            of_active = criterion.score(
                weights[i][where], gradients[i][where], mest_lambda=mest_lambdas[i], generator=generators[i]
            )
            score[i, where] = of_active.double()
    else:
        lambdas = weights.new_tensor(list(mest_lambdas)).unsqueeze(1)
        score = criterion.score(weights, gradients, mest_lambda=lambdas, generator=generators[0])
    counts = torch.tensor(list(drop_counts), device=active.device)
    pruned = criterion.select_rows(score, counts, active)
    inactive = ~active | pruned
    missing = pruned.sum(1)
    if growth.score is None:
        grown = torch.zeros_like(active)
        for i, count in enumerate(missing.tolist()):
            grown[i, any_inactive(~inactive[i], count, generators[i])] = True
    elif growth.draws:
        urgency = torch.stack([growth.score(gradients[i], generator=generators[i]) for i in runs])
        grown = lowest_rows(-urgency, missing, inactive)
    else:
        grown = lowest_rows(-growth.score(gradients, generator=generators[0]), missing, inactive)
    return RowsUpdate(~inactive | grown, pruned, grown)
