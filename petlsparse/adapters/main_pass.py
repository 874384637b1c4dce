"""A forward schedule executed over a stream, whether of one placement or of several in common rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from petlsparse.adapters.forward_schedule import ForwardSchedule, NodeRef, NodeStep
from petlsparse.backbones.stream import Context, ResidualStream

Values = dict[NodeRef, Any]
"""What is there to be read at a step: frozen features as handed in, values of the main pass as `keep` has them."""


def main_pass(
    stream: ResidualStream,
    schedule: ForwardSchedule,
    frozen: Mapping[int, Tensor],
    context: Context,
    *,
    write: Callable[[Tensor, NodeStep, Values], Tensor],
    join: Callable[[Tensor | None, Tensor, NodeStep], Tensor] = lambda _, value, __: value,
    keep: Callable[[Tensor], Any] = lambda x: x,
) -> Tensor:
    """What pooling reads of the last node: (B, T, d) of one placement, (M * B, T, d) of M in the order of rows.

    Args:
        stream: all sub-blocks run once for all who have joined.
        schedule: of the placements.
        frozen: node -> value of the frozen network, of all nodes that the schedule reads.
        context: of the stream.
        write: (x, step, values) -> x with what the adapters that write at a step add.
        join: (x, or None at first; the frozen value of the node; step) -> x with those who join at its end. One
            placement joins once.
        keep: of x, what is kept to be read later.
    """
    values: Values = {NodeRef(frozen=True, node=node): value for node, value in frozen.items()}
    x: Tensor | None = None
    for step in schedule.steps:
        here = NodeRef(frozen=False, node=step.node)
        if x is not None:
            x = stream.advance(step.node, stream.needed(step.node, x), context)
        if step.joins:
            x = join(x, stream.needed(step.node, values[NodeRef(frozen=True, node=step.node)]), step)
        assert x is not None  # the first step is one at which someone joins
        if step.sources:
            x = write(x, step, {**values, here: keep(x)})
        if step.keep:
            values[here] = keep(x)
        for ref in step.frees:
            values.pop(ref, None)
    assert x is not None
    return x
