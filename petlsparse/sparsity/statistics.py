"""What a criterion keeps of the active weights over the steps of a training, layer by layer."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from petlsparse.sparsity.criteria import ActiveWeights, Criterion
from petlsparse.sparsity.layer import SparseLayer
from petlsparse.sparsity.updates import TopologyUpdates


class Statistics:
    """The statistics of a run. They are written in place, so that those of several runs may be views of one tensor.

    Args:
        updates: whose criterion keeps them; None keeps nothing.
        layers: name -> those that are updated.
    """

    def __init__(self, updates: TopologyUpdates | None, layers: Mapping[str, SparseLayer]) -> None:
        self._layers = layers
        self._kept: dict[str, dict[str, Tensor]] = {}
        if updates is not None and updates.rules.criterion.statistics:
            self._criterion, self._generator = updates.rules.criterion, updates.generator
            self._kept = {name: self._criterion.initial_statistics(layer.weights()) for name, layer in layers.items()}

    def of(self, layer: str) -> dict[str, Tensor]:
        """Name of a statistic -> (n,), in the order of the indices of the layer's active weights."""
        return self._kept.get(layer, {})

    def advance(self, *, before_step: bool) -> None:
        """Bring them up to date, if this is the side of the optimizer step where the criterion does so."""
        for name, kept in self._kept.items():
            if self._criterion.reads_gradient == before_step:
                layer = self._layers[name]
                gradients = layer.gradients() if before_step else None
                advance(self._criterion, layer.weights(), gradients, self._generator, kept)

    @torch.no_grad()
    def move(self, layer: str, source: Tensor, target: Tensor) -> None:
        """Keep through an update of the layer the numbers at `source`, now at `target`; all others begin."""
        initial = self._criterion.initial_statistics(self._layers[layer].weights())
        for name, kept in self._kept[layer].items():
            if not self._criterion.statistics[name].restarts:
                initial[name].index_copy_(0, target, kept.index_select(0, source))
            kept.copy_(initial[name])

    def state(self) -> dict[str, Tensor]:
        """A copy of all, by statistic and layer."""
        return {f"statistic.{name}.{layer}": kept.clone() for layer, name, kept in self._each()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`. Raises ValueError if it is not that of these layers."""
        for layer, name, kept in self._each():
            found = state[f"statistic.{name}.{layer}"]
            if (found.shape, found.dtype) != (kept.shape, kept.dtype):
                raise ValueError(f"statistic.{name}.{layer} is not a number for each of {len(kept)} active weights")
            kept.copy_(found)

    def _each(self) -> Iterator[tuple[str, str, Tensor]]:
        for layer, of_layer in self._kept.items():
            for name, kept in of_layer.items():
                yield layer, name, kept


@torch.no_grad()
def advance(
    criterion: Criterion,
    weights: Tensor,
    gradients: Tensor | None,
    generator: torch.Generator,
    kept: Mapping[str, Tensor],
) -> None:
    """Bring statistics of active weights, each (n,), up to date in place; the gradient is zero if there is none."""
    of_weights = weights.new_zeros(()).expand_as(weights) if gradients is None else gradients
    for name, values in criterion.advanced(ActiveWeights(weights, of_weights, generator, kept)).items():
        kept[name].copy_(values)
