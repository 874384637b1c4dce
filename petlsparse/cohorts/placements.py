"""Several placements over one frozen stream as one; each keeps its parameters, as rows of common tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from petlsparse.adapters.adapter import Adapter
from petlsparse.adapters.forward_schedule import NodeStep, SourceNode, forward_schedule
from petlsparse.adapters.main_pass import Values, main_pass
from petlsparse.adapters.models import PlacedAdapters, frozen_features, needed_features
from petlsparse.cohorts.adapters import StackedAdapters, Weights
from petlsparse.cohorts.models import DRAWS, Incompatible
from petlsparse.cohorts.parameters import stack_parameters


def _check_compatible(models: Sequence[PlacedAdapters]) -> None:
    """Edges, seeds and weights may differ."""
    first, adapters = models[0], _adapters(models)
    if any(adapter.dropout.p for adapter in adapters):
        raise Incompatible(DRAWS)
    for what, differs in {
        "backbones": any(model.stream is not first.stream for model in models),
        "precisions of frozen features": any(model.frozen_dtype != first.frozen_dtype for model in models),
        "ways of reading": any(model.feedback != first.feedback for model in models),
        "heads": len({(repr(model.head), model.head.weight.dtype) for model in models}) > 1,
        "adapters": len({repr(adapter) for adapter in adapters}) > 1,  # all but weights is printed
    }.items():
        if differs:
            raise Incompatible(f"their {what} differ")


class StackedPlacements:
    """M placements as one: their main passes are rows of one batch, which each joins at its lowest written node.

    Every sub-block runs once for all who have joined; all adapters that write to one node are two batched matrix
    products. Frozen features of images are computed once for each batch, for all members. No member sees anything
    of another.

    Args:
        models: over one stream, on one device. Their parameters become views of common tensors.

    Raises:
        Incompatible: they cannot be computed as one; says why.
    """

    def __init__(self, models: Sequence[PlacedAdapters]) -> None:
        _check_compatible(models)
        self._models, self._stream, self._frozen_dtype = models, models[0].stream, models[0].frozen_dtype
        self._nodes, self._pooled = needed_features(models)

        all_members = range(len(models))
        self._weight = stack_parameters([model.head.get_parameter("weight") for model in models], all_members)
        self._bias = stack_parameters([model.head.get_parameter("bias") for model in models], all_members)
        members = [member for member, model in enumerate(models) for _ in model.edges]
        self._adapters = StackedAdapters(_adapters(models), members) if members else None
        own = self._adapters.parameters.values() if self._adapters is not None else ()
        self.parameters = [self._weight, self._bias, *(stacked for stacked in own if stacked.rows.requires_grad)]
        """All that is trained: each parameter of the head, and each of an adapter, of all adapters of all members; a
        member owns as many rows of these as it has edges."""

        self._schedule = forward_schedule(
            [model.edges for model in models], self._stream.nodes, feedback=models[0].feedback
        )
        steps, rows = self._schedule
        # Indices lie on the device from the start: a step recorded as a CUDA graph cannot wait for the host.
        device = self._weight.rows.device
        groups = {rows, *(step.joins for step in steps), *(step.rows for step in steps)}
        groups |= {source.members for step in steps for source in step.sources}
        self._index = {group: torch.tensor(group, dtype=torch.int64, device=device) for group in groups}
        order = [adapter for step in steps for adapter in step.adapters]
        self._order = torch.tensor(order, dtype=torch.int64, device=device)

    def train(self, mode: bool) -> None:
        """Training or evaluation mode of all."""
        for model in self._models:
            model.train(mode)

    def __call__(self, inputs: Tensor | Mapping[int, Tensor], batch_index: Tensor) -> Tensor:
        """Logits (M, B, classes) of U batches.

        Args:
            inputs: normalised images (U, B, C, H, W), or the frozen features (U, B, T, d) of every node that a member
                needs; the last one may be whole, or as `read_by_pool` leaves it where no member needs more.
            batch_index: int64 (M,), the index of each model's batch.
        """
        frozen, context = self._frozen(inputs), self._stream.context()
        batch = next(iter(frozen.values())).shape[1]
        x = main_pass(
            self._stream,
            self._schedule,
            frozen,
            context,
            write=partial(self._write, weights=self._weights(), batch_index=batch_index),
            join=partial(self._join, batch_index=batch_index),
            keep=partial(_Rows, batch=batch),
        )
        features = self._stream.pool(x, context).view(len(self._models), batch, -1)
        features = features.index_select(0, self._index[self._schedule.rows])
        return torch.baddbmm(self._bias.whole().unsqueeze(1), features, self._weight.whole().mT)

    def _frozen(self, inputs: Tensor | Mapping[int, Tensor]) -> dict[int, Tensor]:
        if isinstance(inputs, Tensor):
            images, nodes = inputs.flatten(0, 1), self._nodes
            last = max(model.last_frozen for model in self._models)
            flat = frozen_features(self._stream, images, nodes, self._frozen_dtype, pooled=self._pooled, last=last)
            inputs = {node: value.view(*inputs.shape[:2], *value.shape[1:]) for node, value in flat.items()}
        return {node: inputs[node].to(self._weight.rows.dtype) for node in self._nodes}

    def _weights(self) -> dict[int, Weights]:
        """Node -> weights of the adapters that write there."""
        if self._adapters is None:
            return {}
        steps = self._schedule.steps
        grouped = self._adapters.weights(self._order, [len(step.adapters) for step in steps])
        return {step.node: own for step, own in zip(steps, grouped, strict=True)}

    def _join(self, x: Tensor | None, frozen: Tensor, step: NodeStep, *, batch_index: Tensor) -> Tensor:
        """Rows x (A * B, T, d) and behind them, of frozen features (U, B, T, d), those of each who joins."""
        joining = self._of_members(frozen, step.joins, batch_index)
        return (joining if x is None else torch.cat([x.view(-1, *joining.shape[1:]), joining])).flatten(0, 1)

    def _write(
        self, x: Tensor, step: NodeStep, values: Values, *, weights: Mapping[int, Weights], batch_index: Tensor
    ) -> Tensor:
        """Rows x (A * B, T, d) with what adapters make of what they read (R, B, T, d); one row may be written twice."""
        assert self._adapters is not None
        each = [
            self._stream.needed(step.node, self._read(source, values[source.ref], batch_index))
            for source in step.sources
        ]
        read = torch.cat(each) if len(each) > 1 else each[0]
        added = self._adapters(weights[step.node], read.flatten(1, 2)).view(read.shape)
        rows = x.view(-1, *read.shape[1:])
        if step.rows == tuple(range(len(rows))):
            return x + added.flatten(0, 1)
        return rows.index_add(0, self._index[step.rows], added.to(x.dtype)).flatten(0, 1)

    def _read(self, source: SourceNode, value: Any, batch_index: Tensor) -> Tensor:
        """A source's value for each adapter that reads it, (R, B, T, d)."""
        return self._of_members(value, source.members, batch_index) if source.ref.frozen else value.take(source.rows)

    def _of_members(self, values: Tensor, members: tuple[int, ...], batch_index: Tensor) -> Tensor:
        """Members' own, (R, B, T, d), of the values of all batches (U, B, T, d)."""
        if len(values) == 1:
            return values.expand(len(members), *values.shape[1:])
        return values.index_select(0, batch_index.index_select(0, self._index[members]))


class _Rows:
    """A value of the main pass, (A * B, T, d), of all who have joined."""

    def __init__(self, whole: Tensor, *, batch: int) -> None:
        self._whole, self._batch = whole, batch

    def take(self, rows: tuple[int, ...]) -> Tensor:
        """Of these rows, ascending: (R, B, T, d)."""
        if len(rows) * self._batch == len(self._whole):
            return self._whole.view(-1, self._batch, *self._whole.shape[1:])
        return torch.stack([self._each[row] for row in rows])

    @cached_property
    def _each(self) -> tuple[Tensor, ...]:
        # Taken apart once for all readers: the gradient is put together once, not padded with zeros for each.
        return torch.split(self._whole, self._batch)


def _adapters(models: Sequence[PlacedAdapters]) -> list[Adapter]:
    found = [model.adapters[str(edge)] for model in models for edge in model.edges]
    return [adapter for adapter in found if isinstance(adapter, Adapter)]
