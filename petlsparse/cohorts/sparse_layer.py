"""A masked layer of several runs: rows of masks beside its stacked weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from petlsparse.cohorts.parameters import StackedParameter, as_rows, unpadded
from petlsparse.sparsity.indices import indices_of
from petlsparse.sparsity.masked import Masked
from petlsparse.sparsity.topology import LayerView


class StackedLayer:
    """A layer of all members of a cohort.

    Args:
        name: of the layer in the networks.
        stacked: its weight.
        masked: member -> what masks it, for those that are sparse.

    Attributes:
        factor: what the rows of the weight are multiplied by, (K, P); ones where a member is not sparse.
        active: boolean (K, N), a view of all masks.
        row: member -> its row.
    """

    def __init__(self, name: str, stacked: StackedParameter, masked: Mapping[int, Masked]) -> None:
        self.name, self.stacked, self.masked = name, stacked, masked
        everywhere = torch.ones_like(stacked.parameters[0], dtype=torch.bool)
        masks = as_rows([masked[i].mask() if i in masked else everywhere for i in stacked.members])
        # On a CPU, multiplying by floats is several times as fast as by booleans.
        self.factor = masks if masks.is_cuda else masks.to(stacked.rows.dtype)
        self._masks = masks
        self.active = unpadded(masks, (everywhere.numel(),))
        self.row = {member: k for k, member in enumerate(stacked.members)}
        for member, layer in masked.items():
            layer.share(*(unpadded(rows, everywhere.shape)[self.row[member]] for rows in (masks, self.factor)))

    @property
    def size(self) -> int:
        """Weights of one member, active or not."""
        return self.active.shape[1]

    def rows_of(self, members: Sequence[int]) -> Tensor:
        """Where these members are."""
        return torch.tensor([self.row[member] for member in members], device=self.active.device)

    def indices_of(self, members: Sequence[int]) -> Tensor:
        """Of the active weights of some members in the flattened rows of the weight, (K * P,), ascending."""
        theirs = torch.zeros_like(self._masks)
        theirs[self.rows_of(members)] = self._masks[self.rows_of(members)]
        return indices_of(theirs.flatten())

    def view(self, members: Sequence[int], gradients: Tensor, statistics: Sequence[Mapping[str, Tensor]]) -> LayerView:
        """What a topology update of some members sees, given gradients (len(members), N) and each one's statistics."""
        rows, slopes = self.rows_of(members), gradients.flatten()
        active = indices_of(self.active[rows].flatten())
        weights = unpadded(self.stacked.rows.detach(), (self.size,))[rows].flatten().index_select(0, active)
        counts, outputs = [self.masked[member].count for member in members], len(self.stacked.parameters[0])
        of_active = active, weights, slopes.index_select(0, active)
        kept = {name: torch.cat([each[name] for each in statistics]) for name in statistics[0]}
        return LayerView(*of_active, counts, outputs, self.size, lambda: slopes, kept)

    def gradient(self) -> Tensor:
        """(K, N), a view; zeros if there was no backward pass."""
        gradient = self.stacked.rows.grad
        return unpadded(torch.zeros_like(self.stacked.rows) if gradient is None else gradient, (self.size,))
