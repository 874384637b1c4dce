"""A frozen stream with adapters placed on it, and a head."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from petlsparse.adapters.adapter import Adapter, check_rank, classification_head
from petlsparse.adapters.edges import Edge, check_edges, check_feedback, frozen_nodes, lowest_written_node
from petlsparse.adapters.forward_schedule import NodeStep, forward_schedule
from petlsparse.adapters.main_pass import Values, main_pass
from petlsparse.adapters.tuned import TunedModel, own_seed
from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError


class PlacedAdapters(TunedModel):
    """A frozen stream with an adapter on every edge and a head; without edges, a linear probe.

    Two passes over one batch (arXiv 2410.15858; order of writes and the direction of recurrent edges are
    own readings of the paper):

        base pass   the frozen network alone gives p[i];
        main pass   u    = x[j-1] + F_j(x[j-1])                      (the embedding for j = 0)
                    x[j] = u + A_jj(u) + sum_{i<j} A_ij(x[i]) + sum_{i>j} A_ij(p[i])
        logits      = head(pool(x[n-1]))

    Below the lowest written node both passes are the same computation, so it is made once: `frozen` runs the base
    pass, without gradients, up to the highest node that is read, and `adapted` takes over at the lowest written
    node. `frozen` depends on backbone and images alone; its result may be cached, shared by many placements, and
    handed to the model in place of the images.

    Args:
        stream: the backbone; not copied, stays frozen.
        edges: pairs (source, target), in any order.
        classes: of the task.
        rank: of every adapter.
        ranks: of some edges, another.
        options: others of every adapter, see `Adapter`.
        generator: one number is drawn; with it each edge seeds its own generator, so an adapter's initial weights
            depend on its edge alone and not on which others exist.
        head_generator: source of the head.
        feedback: False makes the control of equal cost, in which what reads p[i] at j < i reads p[j] in its place; the
            base pass goes on to the highest i all the same.
        frozen_dtype: what values are rounded to where the main pass takes over from the base pass; None leaves them.

    Raises:
        UserError: edges outside the stream or named twice, ranks of others, or options that `Adapter` refuses.
    """

    def __init__(
        self,
        stream: ResidualStream,
        edges: Iterable[tuple[int, int]],
        classes: int,
        *,
        generator: torch.Generator,
        head_generator: torch.Generator,
        rank: int = 8,
        ranks: Mapping[tuple[int, int], int] = MappingProxyType({}),
        feedback: bool = True,
        frozen_dtype: torch.dtype | None = None,
        **options: Any,
    ):
        super().__init__()
        self.stream, self.frozen_dtype = stream, frozen_dtype
        self.edges = check_edges(edges, stream.nodes)
        check_ranks(ranks, self.edges, stream.width)
        self.ranks = [ranks.get(edge, rank) for edge in self.edges]
        seed = int(torch.randint(2**62, (), generator=generator))
        self.adapters = nn.ModuleDict(
            {
                str(edge): Adapter(
                    stream.width,
                    own_rank,
                    generator=torch.Generator().manual_seed(own_seed(seed, str(edge))),
                    **options,
                )
                for edge, own_rank in zip(self.edges, self.ranks, strict=True)
            }
        )
        self.head = classification_head(stream.width, classes, head_generator)
        self.start = lowest_written_node(self.edges, stream.nodes)
        self.feedback = feedback
        if not feedback:
            check_feedback(self.edges)
        self.frozen_nodes = frozen_nodes(self.edges, stream.nodes, feedback=feedback)
        self.last_frozen = max(frozen_nodes(self.edges, stream.nodes))
        # Only recurrent edges read the last node as a whole, and they write, and start, below it.
        self.pooled = self.start == stream.nodes - 1
        self.schedule = forward_schedule([self.edges], stream.nodes, feedback=feedback)

    def forward(self, inputs: Tensor | Mapping[int, Tensor]) -> Tensor:
        """Normalised images (B, C, H, W), or their values at `frozen_nodes`, to logits (B, classes)."""
        return self.adapted(self.frozen(inputs) if isinstance(inputs, Tensor) else inputs)

    def frozen(self, images: Tensor) -> dict[int, Tensor]:
        """Base pass: p[k], (B, T, d), of every k in `frozen_nodes`; no further than with feedback. Keeps no graph."""
        return frozen_features(
            self.stream, images, self.frozen_nodes, self.frozen_dtype, pooled=self.pooled, last=self.last_frozen
        )

    def adapted(self, frozen: Mapping[int, Tensor]) -> Tensor:
        """Main pass from the lowest written node: frozen features, as `frozen` returns them, to logits."""
        context, dtype = self.stream.context(), self.head.weight.dtype
        values = {k: frozen[k].to(dtype) for k in self.frozen_nodes}
        x = main_pass(self.stream, self.schedule, values, context, write=self._write)
        logits: Tensor = self.head(self.stream.pool(x, context))
        return logits

    def _write(self, x: Tensor, step: NodeStep, values: Values) -> Tensor:
        """One adapter after another, in the order of edges."""
        for source in sorted(step.sources, key=lambda source: source.ref.node):
            read = self.stream.needed(step.node, values[source.ref])
            for number in source.adapters:
                x = x + self.adapters[str(self.edges[number])](read)
        return x


def check_ranks(ranks: Mapping[tuple[int, int], int], edges: Sequence[Edge], width: int) -> None:
    """Raises UserError for ranks, by edge, of what is no edge of the placement, or that are above the width."""
    others = [Edge(*edge) for edge in ranks if edge not in edges]
    if others:
        valid = tuple(map(str, edges))
        message = "no edge of the placement, so that it has no rank"
        raise UserError(*(Problem(message, "method.ranks", str(edge), valid=valid) for edge in others))
    for rank in ranks.values():
        check_rank(rank, width, "method.ranks")


def frozen_features(
    stream: ResidualStream,
    images: Tensor,
    nodes: Collection[int],
    dtype: torch.dtype | None = None,
    *,
    pooled: bool = False,
    last: int = 0,
) -> dict[int, Tensor]:
    """Base pass of normalised images (B, C, H, W) up to the highest of `nodes`: node -> p (B, T, d), without a graph.

    What a node's value is does not depend on which others are asked for.

    Args:
        stream: the frozen network.
        images: on its device.
        nodes: those wanted.
        dtype: what values are rounded to where they are handed over; the pass itself goes on unrounded.
        pooled: of the last node, only the tokens that pooling reads are wanted.
        last: where the pass ends, if that is higher.
    """
    kept: dict[int, Tensor] = {}
    with torch.no_grad():
        x, context = stream.embed(images)
        for k in range(max(*nodes, last) + 1):
            if k > 0:
                x = stream.advance(k, stream.needed(k, x) if pooled else x, context)
            if k in nodes:
                kept[k] = x if dtype is None else x.to(dtype)
    return kept


def needed_features(models: Collection[TunedModel]) -> tuple[tuple[int, ...], bool]:
    """The nodes, ascending, whose frozen features models need; and whether of the last one pooled tokens are enough."""
    nodes = {node for model in models for node in model.frozen_nodes}
    return tuple(sorted(nodes)), all(model.pooled for model in models if model.stream.nodes - 1 in model.frozen_nodes)
