"""The active weights of one layer: how they are drawn, and how one topology update changes them. Pure functions.

An update is of M rows of N weights: the same layer of M runs that are trained as one, or of one run, M = 1. What each
run has pruned and grown is what it would have alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from petlsparse.sparsity.criteria import ActiveWeights, Criterion
from petlsparse.sparsity.growth import AllWeights, Growth
from petlsparse.sparsity.indices import indices_of, mask_of
from petlsparse.sparsity.selection import lowest, lowest_of_each_sign, random_subset


def initial_mask(shape: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """A boolean mask with exactly `count` True, uniform among all such masks, on the generator's device."""
    return random_subset(math.prod(shape), count, generator).view(*shape)


def drop_count(drop_fraction: float, active: int) -> int:
    """ceil(drop_fraction * active), blind to rounding errors: 0.07 of 100 is 7."""
    return math.ceil(round(drop_fraction * active, 6))


class TopologyUpdate(NamedTuple):
    """What one update did to the rows of a layer: indices in the flattened (M, N), int64, ascending."""

    active: Tensor
    """What is active now: in every row as many as before the update."""
    pruned: Tensor
    """What pruning removed."""
    grown: Tensor
    """What growth added."""
    regrown: Tensor
    """What was removed and added again at once."""

    def of_rows(self, rows: int, size: int) -> "list[TopologyUpdate]":
        """The update of each row of so many weights, by indices in it."""
        if rows == 1:
            return [self]
        begins = torch.arange(rows + 1, device=self.active.device) * size
        bounds = torch.stack([torch.searchsorted(of_all, begins) for of_all in self]).tolist()
        return [
            TopologyUpdate(*(of_all[cut[i] : cut[i + 1]] - i * size for of_all, cut in zip(self, bounds, strict=True)))
            for i in range(rows)
        ]


class LayerView(NamedTuple):
    """One layer of M runs as a topology update sees it."""

    active: Tensor
    """Indices of the active weights in the flattened (M, N), int64 (n,), ascending."""
    weights: Tensor
    """The active weights, (n,)."""
    gradients: Tensor
    """Their gradients, (n,)."""
    counts: Sequence[int]
    """Active weights of each row."""
    outputs: int
    """Output neurons, or channels: each has the same number of the N weights, and they follow each other."""
    size: int
    """Number N of weights of a row, active or not."""
    dense_gradient: Callable[[], Tensor]
    """Gradient at every index, (M * N,)."""
    statistics: Mapping[str, Tensor] = MappingProxyType({})
    """Name -> what the criterion keeps of the active weights, (n,)."""


@dataclass(frozen=True)
class UpdateRules:
    """By what a topology is updated.

    Attributes:
        criterion: decides what is pruned.
        growth: decides what is grown.
        scope: among which weights the least important are looked for: those of a "layer" (2306.12230), of each output
            "neuron" of a layer, or of all layers ("global", 2306.12230, appendix). The number in all is the same. What
            a layer loses grows in the same layer.
    """

    criterion: Criterion
    growth: Growth
    scope: Literal["layer", "neuron", "global"] = "layer"


def update_topology(
    layers: Sequence[LayerView],
    fractions: Sequence[float],
    *,
    rules: UpdateRules,
    generators: Sequence[torch.Generator],
) -> Iterator[TopologyUpdate]:
    """Prune a share of the active weights of every row of the layers, and grow as many inactive ones: layer by layer.

    Pruning sees active entries only. Growth chooses among all entries that are inactive after pruning, those just
    pruned included. Of equal scores the lowest index is pruned, or grown, first. Nothing is changed in place.

    Args:
        layers: all with M rows.
        fractions: share of the active weights to prune, of each row, rounded up to a whole number in every layer.
        rules: by which to prune and grow.
        generators: of each row, source of randomness of both.
    """
    if rules.scope == "global":
        scores = [_importance(rules.criterion, layer, generators) for layer in layers]
        for layer, chosen in zip(layers, _globally(rules.criterion, layers, scores, fractions), strict=True):
            yield _updated(layer, chosen, rules.growth, generators)
        return
    for layer in layers:
        score = _importance(rules.criterion, layer, generators)
        drops = [drop_count(*each) for each in zip(fractions, layer.counts, strict=True)]
        sizes = layer.counts
        if rules.scope == "neuron":
            drops, sizes = _by_neuron(layer, drops)
        yield _updated(layer, _select(rules.criterion)(score, drops, sizes), rules.growth, generators)


def _importance(criterion: Criterion, layer: LayerView, generators: Sequence[torch.Generator]) -> Tensor:
    """The criterion's scores, (n,): all at once if it is elementwise, else row by row."""
    if criterion.elementwise:
        return criterion.score(ActiveWeights(layer.weights, layer.gradients, generators[0], layer.statistics))
    of_all = (layer.weights, layer.gradients, *layer.statistics.values())
    scores = []
    for generator, *row in zip(generators, *(torch.split(each, [*layer.counts]) for each in of_all), strict=True):
        statistics = dict(zip(layer.statistics, row[2:], strict=True))
        scores.append(criterion.score(ActiveWeights(row[0], row[1], generator, statistics)))
    return torch.cat(scores)


def _select(criterion: Criterion) -> Callable[[Tensor, Sequence[int], Sequence[int]], Tensor]:
    """(scores (n,), counts, sizes of segments) -> which ones go, as a boolean tensor (n,)."""
    return lowest_of_each_sign if criterion.of_each_sign else lowest


def _globally(
    criterion: Criterion, layers: Sequence[LayerView], scores: Sequence[Tensor], fractions: Sequence[float]
) -> list[Tensor]:
    """What goes of each layer, boolean (n,), where the layers of a row are looked at together."""
    by_layer = [torch.split(score, [*layer.counts]) for score, layer in zip(scores, layers, strict=True)]
    by_row = [torch.cat(row) for row in zip(*by_layer, strict=True)]
    drops = [sum(drop_count(fraction, layer.counts[i]) for layer in layers) for i, fraction in enumerate(fractions)]
    chosen = _select(criterion)(torch.cat(by_row), drops, [len(row) for row in by_row])
    rows = [
        torch.split(row, [layer.counts[i] for layer in layers])
        for i, row in enumerate(torch.split(chosen, [len(row) for row in by_row]))
    ]
    return [torch.cat(layer) for layer in zip(*rows, strict=True)]


def _by_neuron(layer: LayerView, drops: Sequence[int]) -> tuple[list[int], list[int]]:
    """How many weights each neuron loses, in proportion to how many it has (largest remainder), and these."""
    width = layer.size // layer.outputs
    sizes = (
        torch.bincount(layer.active // width, minlength=len(drops) * layer.outputs).view(len(drops), -1).cpu().numpy()
    )
    shares = np.asarray(drops)[:, None] * sizes  # of the row's count: whole numbers, so that ties are exact
    lost, rest = np.divmod(shares, np.asarray(layer.counts)[:, None])
    first = np.argsort(-rest, axis=1, kind="stable")
    for row, order, missing in zip(lost, first, drops - lost.sum(1), strict=True):
        row[order[:missing]] += 1
    return lost.flatten().tolist(), sizes.flatten().tolist()


def _updated(layer: LayerView, chosen: Tensor, growth: Growth, generators: Sequence[torch.Generator]) -> TopologyUpdate:
    """Prune the chosen of the active weights, boolean (n,), and grow as many in each row."""
    rows, size = len(layer.counts), layer.size
    pruned, kept = layer.active[indices_of(chosen)], layer.active[indices_of(~chosen)]
    missing = [len(pruned)] if rows == 1 else torch.bincount(pruned // size, minlength=rows).tolist()
    now = mask_of(kept, rows * size)
    if growth.function is None:
        free = [random_inactive(*each) for each in zip(now.view(rows, size), missing, generators, strict=True)]
        grown = torch.cat([row + i * size for i, row in enumerate(free)])
    else:
        grow_cost = _growth_scores(growth, layer, generators).neg_().index_fill_(0, kept, torch.inf)
        grown = indices_of(lowest(grow_cost, missing, [size] * rows))
    now.index_fill_(0, grown, True)
    return TopologyUpdate(indices_of(now), pruned, grown, pruned[indices_of(now[pruned])])


def _growth_scores(growth: Growth, layer: LayerView, generators: Sequence[torch.Generator]) -> Tensor:
    """The growth rule's scores, (M * N,), a new tensor: all at once if it is elementwise, else row by row."""
    gradients = (
        layer.dense_gradient() if growth.reads_gradient else layer.gradients.new_zeros(len(generators) * layer.size)
    )
    if growth.elementwise:
        score = growth.score(AllWeights(gradients, generators[0]))
        return score.clone() if score.data_ptr() == gradients.data_ptr() else score  # the gradient itself is a rule
    rows = zip(gradients.view(len(generators), -1), generators, strict=True)
    return torch.cat([growth.score(AllWeights(*each)) for each in rows])


def random_inactive(active: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices, ascending, of `count` entries where a boolean (N,) is False, uniformly chosen."""
    inactive = indices_of(~active)
    chosen = random_subset(len(inactive), count, generator).to(active.device)
    return inactive[indices_of(chosen)]


def surviving(before: Tensor, update: TopologyUpdate, size: int, *, keep_regrown: bool) -> tuple[Tensor, Tensor]:
    """Which entries keep what they hold through an update: their indices in `before`, and in `update.active`.

    Both are ascending and belong together entry by entry; all other entries of `update.active` start anew.

    Args:
        before: indices that were active, (n,).
        update: what happened.
        size: number of weights of the layer.
        keep_regrown: whether a weight that was pruned and grown at once is among them.
    """
    last = mask_of(before, size).index_fill_(0, update.pruned, False)
    if keep_regrown:
        last.index_fill_(0, update.regrown, True)
    return indices_of(last[before]), indices_of(last[update.active])
