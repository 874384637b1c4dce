"""Several placements over one frozen stream as one; each keeps its parameters, as rows of common tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from petlsparse.adapters.adapter import Adapter
from petlsparse.adapters.itinerary import Source, Stop, itinerary
from petlsparse.adapters.models import PlacedAdapters, frozen_values
from petlsparse.adapters.stacked_adapters import StackedAdapters, Weights
from petlsparse.slots import share_rows


def difference(models: Sequence[PlacedAdapters]) -> str | None:
    """What keeps models from being computed as one; None if nothing does. Edges, seeds and weights may differ."""
    first, adapters = models[0], _adapters(models)
    differs = {
        "backbones": any(model.stream is not first.stream for model in models),
        "precisions of frozen values": any(model.frozen_dtype != first.frozen_dtype for model in models),
        "heads": len({(repr(model.head), model.head.weight.dtype) for model in models}) > 1,
        # What is printed of an adapter are rank, norm and bias.
        "adapters": len({(repr(adapter), adapter.activation) for adapter in adapters}) > 1,
    }
    return next((f"their {what} differ" for what, so in differs.items() if so), None)


class StackedPlacements:
    """M placements as one: their main passes are rows of one batch, which each enters at its lowest written node.

    Every sub-block runs once for all who have entered; all adapters that write to one node are two batched matrix
    products. Frozen values of images are computed once for each batch, whoever needs them. No member sees anything
    of another.

    Args:
        models: over one stream, on one device. Their parameters become views of common tensors.

    Raises:
        ValueError: they cannot be computed as one; says why, as `difference` does.
    """

    def __init__(self, models: Sequence[PlacedAdapters]) -> None:
        if reason := difference(models):
            raise ValueError(reason)
        self._models, self._stream, self._frozen_dtype = models, models[0].stream, models[0].frozen_dtype
        self._last = self._stream.nodes - 1
        self._nodes = {node for model in models for node in model.frozen_nodes}
        self._pooled = all(model.pooled for model in models if self._last in model.frozen_nodes)

        everyone = range(len(models))
        self._weight = share_rows([model.head.get_parameter("weight") for model in models], everyone)
        self._bias = share_rows([model.head.get_parameter("bias") for model in models], everyone)
        owners = [member for member, model in enumerate(models) for _ in model.edges]
        self._adapters = StackedAdapters(_adapters(models), owners) if owners else None
        self.slots = [self._weight, self._bias, *(self._adapters.slots.values() if self._adapters is not None else ())]
        """All that is trained: each parameter of the head, and each of an adapter, of all adapters of all members; a
        member owns as many rows of these as it has edges."""

        self._stops, rows = itinerary([model.edges for model in models], self._stream.nodes)
        # Indices lie on the device from the start: a step recorded as a CUDA graph cannot wait for the host.
        device = self._weight.rows.device
        groups = {rows, *(stop.entering for stop in self._stops), *(stop.rows for stop in self._stops)}
        groups |= {source.members for stop in self._stops for source in stop.sources}
        self._index = {group: torch.tensor(group, dtype=torch.int64, device=device) for group in groups}
        self._in_member_order = self._index[rows]
        order = [adapter for stop in self._stops for adapter in stop.adapters]
        self._order = torch.tensor(order, dtype=torch.int64, device=device)

    def train(self, mode: bool) -> None:
        """Training or evaluation mode of all."""
        for model in self._models:
            model.train(mode)

    def __call__(self, inputs: Tensor | Mapping[int, Tensor], of: Tensor) -> Tensor:
        """Logits (M, B, classes) of U batches.

        Args:
            inputs: normalised images (U, B, C, H, W), or the frozen values (U, B, T, d) of every node that a member
                needs; the last one may be whole, or as `read_by_pool` leaves it where nobody needs more.
            of: int64 (M,), which batch is whose.
        """
        x = self._stream.pool(self._travel(self._frozen(inputs), of).flatten(0, 1))
        features = x.reshape(len(self._models), -1, x.shape[-1]).index_select(0, self._in_member_order)
        return torch.baddbmm(self._bias.whole().unsqueeze(1), features, self._weight.whole().mT)

    def _frozen(self, inputs: Tensor | Mapping[int, Tensor]) -> dict[int, Tensor]:
        if isinstance(inputs, Tensor):
            images, nodes = inputs.flatten(0, 1), self._nodes
            flat = frozen_values(self._stream, images, nodes, self._frozen_dtype, pooled=self._pooled)
            inputs = {node: _like(value, inputs) for node, value in flat.items()}
        return {node: inputs[node].to(self._weight.rows.dtype) for node in self._nodes}

    def _travel(self, frozen: dict[int, Tensor], of: Tensor) -> Tensor:
        """What pooling reads of the last node, (M, B, T, d), in the order of rows. Takes `frozen` apart."""
        counts = [len(stop.rows) for stop in self._stops]
        weights = self._adapters.weights(self._order, counts) if self._adapters is not None else [None] * len(counts)
        kept: dict[int, _Value] = {}
        x: Tensor | None = None
        for stop, own in zip(self._stops, weights, strict=True):
            arriving = []
            if x is not None:
                x = self._needed(x, stop)
                arriving.append(x + _like(self._stream.subblock(stop.node, x.flatten(0, 1)), x))
            if stop.entering:
                arriving.append(self._needed(self._of(frozen[stop.node], stop.entering, of), stop))
            x = torch.cat(arriving) if len(arriving) > 1 else arriving[0]
            if own is not None and stop.sources:
                here = {**kept, stop.node: _Value(x)}
                read = [self._read(source, stop, here, frozen, of) for source in stop.sources]
                x = self._write(x, stop, own, torch.cat(read) if len(read) > 1 else read[0])
            if stop.keep:
                kept[stop.node] = _Value(x)
            for is_frozen, node in stop.drop:
                (frozen if is_frozen else kept).pop(node, None)
        assert x is not None
        return x

    def _read(
        self, source: Source, stop: Stop, kept: Mapping[int, _Value], frozen: Mapping[int, Tensor], of: Tensor
    ) -> Tensor:
        """A source's value for each adapter that reads it, (R, B, T, d)."""
        node = source.place.node
        found = self._of(frozen[node], source.members, of) if source.place.frozen else kept[node].of(source.rows)
        return self._needed(found, stop)

    def _write(self, x: Tensor, stop: Stop, weights: Weights, read: Tensor) -> Tensor:
        """Rows x (A, B, T, d) with what adapters make of what they read (R, B, T, d); a row may be written twice."""
        assert self._adapters is not None
        added = self._adapters(weights, read.flatten(1, 2)).view(read.shape)
        if stop.rows == tuple(range(len(x))):
            return x + added
        return x.index_add(0, self._index[stop.rows], added.to(x.dtype))

    def _of(self, values: Tensor, members: tuple[int, ...], of: Tensor) -> Tensor:
        """Members' own, (R, B, T, d), of the values of all batches (U, B, T, d)."""
        if len(values) == 1:
            return values.expand(len(members), *values.shape[1:])
        return values.index_select(0, of.index_select(0, self._index[members]))

    def _needed(self, x: Tensor, stop: Stop) -> Tensor:
        """What the rest of the way reads of x (R, B, T, d): at the last node the tokens that are pooled."""
        if stop.node < self._last:
            return x
        return _like(self._stream.read_by_pool(x.flatten(0, 1)), x)


class _Value:
    """A node's main-pass value, (A, B, T, d), of all who have entered."""

    def __init__(self, whole: Tensor) -> None:
        self._whole = whole

    def of(self, rows: tuple[int, ...]) -> Tensor:
        """Of these rows, ascending: (R, B, T, d)."""
        if len(rows) == len(self._whole):
            return self._whole
        return torch.stack([self._each[row] for row in rows])

    @cached_property
    def _each(self) -> tuple[Tensor, ...]:
        # Taken apart once for all readers: the gradient is put together once, not padded with zeros for each.
        return self._whole.unbind()


def _like(x: Tensor, batches: Tensor) -> Tensor:
    """Batches on end, (R * B, ...), in the arrangement of others (R, B, ...)."""
    return x.reshape(*batches.shape[:2], *x.shape[1:])


def _adapters(models: Sequence[PlacedAdapters]) -> list[Adapter]:
    found = [model.adapters[str(edge)] for model in models for edge in model.edges]
    return [adapter for adapter in found if isinstance(adapter, Adapter)]
