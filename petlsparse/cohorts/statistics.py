"""What criteria keep of the active weights, for several runs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from petlsparse.cohorts.sparse_layer import StackedLayer
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.statistics import advance


class StackedStatistics:
    """The statistics of all members, of which each one's become views: those of one criterion are computed together.

    Args:
        layers: of the members.
        methods: member -> its method.
    """

    def __init__(self, layers: Sequence[StackedLayer], methods: Mapping[int, SparseTraining]) -> None:
        self._parts: list[_Part] = []
        self._advanced = False
        for layer in layers:
            alike: dict[object, list[int]] = {}
            for member in layer.masked:
                updates = methods[member].updates
                if updates is not None and methods[member].statistics.of(layer.name):
                    criterion = updates.rules.criterion
                    alike.setdefault((criterion, None if criterion.elementwise else member), []).append(member)
            self._parts += [_Part(layer, members, methods) for members in alike.values()]

    def advance(self, *, before_step: bool) -> None:
        """Bring them up to date, those that are to be on this side of the optimizer step; once in a step."""
        if before_step and self._advanced:
            return
        self._advanced = before_step
        for part in self._parts:
            part.advance(before_step=before_step)

    def move(self) -> None:
        """After updates, with which each member's numbers have moved: find the active weights again."""
        for part in self._parts:
            part.active.copy_(part.layer.indices_of(part.members))


class _Part:
    """Those of one layer and one criterion: the members' end to end, in the order of their rows.

    What is changed in a step is changed in place, and nothing is read back, so that a step can be recorded.
    """

    def __init__(self, layer: StackedLayer, members: Sequence[int], methods: Mapping[int, SparseTraining]) -> None:
        self.layer, self.members = layer, members
        self.active = layer.indices_of(members)
        updates = methods[members[0]].updates
        assert updates is not None
        self._criterion, self._generator = updates.rules.criterion, updates.generator
        kept = [methods[member].statistics.of(layer.name) for member in members]
        self._kept = {name: torch.cat([each[name] for each in kept]) for name in kept[0]}
        for name, values in self._kept.items():
            for each, part in zip(kept, torch.split(values, [len(each[name]) for each in kept]), strict=True):
                each[name] = part

    def advance(self, *, before_step: bool) -> None:
        """Bring them up to date, if this is the side of the optimizer step where the criterion does so."""
        if self._criterion.reads_gradient == before_step:
            rows = self.layer.stacked.rows
            gradients = None
            if before_step:
                gradients = self._of_active(torch.zeros_like(rows) if rows.grad is None else rows.grad)
            advance(self._criterion, self._of_active(rows.detach()), gradients, self._generator, self._kept)

    def _of_active(self, rows: Tensor) -> Tensor:
        return rows.flatten().index_select(0, self.active)
