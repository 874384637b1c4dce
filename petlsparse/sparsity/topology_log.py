"""What is recorded of a run's topology: a row per layer for the initial masks and for every update."""

from collections.abc import Mapping

import torch
from torch import Tensor

from petlsparse.sparsity.topology import TopologyUpdate


class TopologyLog:
    """Rows of the `topology` table, and which weights were ever active (the in-time over-parameterization of ITOP).

    Args:
        masks: layer name -> boolean tensor, shaped like the weight: the initial masks.
        explores: whether there will be updates; without any, nothing needs to be remembered.
    """

    def __init__(self, masks: Mapping[str, Tensor], *, explores: bool) -> None:
        self.explored = {name: mask.flatten().clone() for name, mask in masks.items()} if explores else {}
        """Layer name -> boolean (N,): active at any time so far."""
        self._size = {name: mask.numel() for name, mask in masks.items()}
        self._active = {name: int(mask.count_nonzero()) for name, mask in masks.items()}
        self._visited = dict(self._active)
        self._rows: list[dict[str, object]] = []
        for name in masks:
            self.add(0, name)

    def update(self, step: int, layer: str, drop_fraction: float, update: TopologyUpdate) -> None:
        """Record an update."""
        explored = self.explored[layer]
        self._visited[layer] += len(update.grown) - int(explored[update.grown].count_nonzero())
        explored.index_fill_(0, update.grown, True)
        self.add(step, layer, drop_fraction, len(update.pruned), len(update.grown), len(update.regrown))

    def add(
        self, step: int, layer: str, drop_fraction: float = 0.0, pruned: int = 0, grown: int = 0, regrown: int = 0
    ) -> None:
        """A row; with the step and the layer alone, of a layer that was left as it is."""
        active, size = self._active[layer], self._size[layer]
        self._rows.append(
            {
                "step": step,
                "layer": layer,
                "density": active / size,
                "active": active,
                "pruned": pruned,
                "grown": grown,
                "regrown": regrown,
                "itop_rate": self._visited[layer] / size,
                "drop_fraction": drop_fraction,
            }
        )

    def rows(self) -> list[dict[str, object]]:
        """Those since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def state(self) -> dict[str, Tensor]:
        """What was ever active."""
        return {f"explored.{name}": explored.clone() for name, explored in self.explored.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`; rows recorded before, such as those of the initial masks, are forgotten.

        Raises ValueError if it is not that of these layers.
        """
        for name in self.explored:
            explored = state[f"explored.{name}"]
            if (explored.shape, explored.dtype) != (self.explored[name].shape, torch.bool):
                raise ValueError(f"explored.{name} is not a boolean for each weight")
            self.explored[name] = explored.clone()
            self._visited[name] = int(self.explored[name].count_nonzero())
        self._rows = []
