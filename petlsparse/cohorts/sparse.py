"""Sparse training of several runs as one: masks as rows, and topology updates of all runs that have one at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from petlsparse.cohorts.parameters import StackedParameter
from petlsparse.cohorts.sparse_layer import StackedLayer
from petlsparse.cohorts.statistics import StackedStatistics
from petlsparse.sparsity.masked import Masked
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules, update_topology
from petlsparse.sparsity.updates import TopologyUpdates

ENTRIES_AT_A_TIME = 2**27
"""Entries, rows times weights, that are updated at once: what is computed on the way takes some 20 bytes each."""


class SparseCohort:
    """Does for all members what `SparseTraining` does for each: the same masks, the same rows of `topology`.

    Instead of weights and optimizer state after every step, gradients are masked before it: where weight, state and
    gradient are zero they stay zero. Optimizer state that is not to be masked (`state` "dense") leaves no such
    choice; there the weights are masked after the step.

    Args:
        methods: of the members, in order; those that are no `SparseTraining` are left alone. Their masks become
            views of common tensors.
        parameters: all that is trained.

    Raises:
        ValueError: members with masked and with dense optimizer state, or with truly sparse layers.
    """

    def __init__(self, methods: Sequence[object], parameters: Sequence[StackedParameter]) -> None:
        self._members = {i: method for i, method in enumerate(methods) if isinstance(method, SparseTraining)}
        self._layers: list[StackedLayer] = []
        for stacked in parameters:
            masked = dict(self._masked_in(stacked))
            if masked:
                name, *_ = {name for name, _ in masked.values()}
                self._layers.append(StackedLayer(name, stacked, {i: layer for i, (_, layer) in masked.items()}))
        if sum(len(layer.masked) for layer in self._layers) < sum(len(m.layers) for m in self._members.values()):
            raise ValueError("layers of sparse members are not among the parameters, or hold active weights only")
        states = {layer.masks_state for stacked in self._layers for layer in stacked.masked.values()}
        if len(states) > 1:
            raise ValueError("members with masked and with dense optimizer state")
        self._masks_gradients = states == {True}
        self._snapshot: list[Tensor] = []
        self._statistics = StackedStatistics(self._layers, self._members)

    def due(self, step: int) -> Sequence[int]:
        """Members with a topology update at this step."""
        return [i for i, method in self._members.items() if method.updates is not None and method.updates.due(step)]

    @torch.no_grad()
    def after_backward(self, step: int, due: Sequence[int]) -> None:
        """Update with (w_t, g_t); keep g_t for the updates after the step."""
        self._statistics.advance(before_step=True)
        early = [i for i in due if self._updates(i).before_step]
        late = [i for i in due if not self._updates(i).before_step]
        if late:
            self._snapshot = [layer.gradient()[layer.rows_of(late)] for layer in self._layers]
        if early:
            self._update(step, early, [layer.gradient()[layer.rows_of(early)] for layer in self._layers])

    @torch.no_grad()
    def before_step(self) -> None:
        """Bring statistics of gradients up to date, if an update has not, and mask gradients."""
        self._statistics.advance(before_step=True)
        if self._masks_gradients:
            for layer in self._layers:
                gradient = layer.stacked.rows.grad
                if gradient is not None:
                    gradient.mul_(layer.factor)

    @torch.no_grad()
    def apply(self) -> None:
        """Mask weights, if masked gradients have not done so, and bring statistics of weights up to date."""
        if not self._masks_gradients:
            for layer in self._layers:
                layer.stacked.rows.mul_(layer.factor)
        self._statistics.advance(before_step=False)

    @torch.no_grad()
    def after_step(self, step: int, due: Sequence[int]) -> None:
        """Update with (w_{t+1}, g_t) those whose order this is."""
        late = [i for i in due if not self._updates(i).before_step]
        if late:
            self._update(step, late, self._snapshot)
            self._snapshot = []

    def _updates(self, member: int) -> TopologyUpdates:
        updates = self._members[member].updates
        assert updates is not None
        return updates

    def _masked_in(self, stacked: StackedParameter) -> Iterator[tuple[int, tuple[str, Masked]]]:
        """Members that mask the parameter, each with the layer that does."""
        for parameter, member in zip(stacked.parameters, stacked.members, strict=True):
            if member in self._members:
                for name, layer in self._members[member].layers.items():
                    if isinstance(layer, Masked) and layer.weight is parameter:
                        yield member, (name, layer)

    def _update(self, step: int, members: Sequence[int], gradients: Sequence[Tensor]) -> None:
        """Of members with these gradients, (len(members), N) for every layer: those with the same rules together."""
        by_rules: dict[tuple[UpdateRules, frozenset[str]], list[int]] = {}
        for index, member in enumerate(members):
            by_rules.setdefault((self._updates(member).rules, frozenset(self._members[member].exempt)), []).append(
                index
            )
        at_once = max(1, ENTRIES_AT_A_TIME // max(layer.size for layer in self._layers))
        for (rules, exempt), indices in by_rules.items():
            for part in (indices[i : i + at_once] for i in range(0, len(indices), at_once)):
                some = [members[index] for index in part]
                self._update_with_rules(step, some, rules, exempt, [of_layer[part] for of_layer in gradients])
        self._statistics.move()

    def _update_with_rules(
        self,
        step: int,
        members: Sequence[int],
        rules: UpdateRules,
        exempt: Collection[str],
        gradients: Sequence[Tensor],
    ) -> None:
        settings = [self._updates(member) for member in members]
        fractions = [updates.fraction(step) for updates in settings]
        views = [
            layer.view(members, gradient, [self._members[member].statistics.of(layer.name) for member in members])
            for layer, gradient in zip(self._layers, gradients, strict=True)
            if layer.name not in exempt
        ]
        generators = [updates.generator for updates in settings]
        found = update_topology(views, fractions, rules=rules, generators=generators)
        for layer in self._layers:
            if layer.name in exempt:
                for member in members:
                    self._members[member].log.add(step, layer.name)
                continue
            of_rows = next(found).of_rows(len(members), layer.size)
            for member, fraction, update in zip(members, fractions, of_rows, strict=True):
                self._members[member].take_on(step, layer.name, fraction, update)
