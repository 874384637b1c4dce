"""A linear probe of any node of the frozen stream."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from petlsparse.adapters.adapter import classification_head
from petlsparse.adapters.models import frozen_features
from petlsparse.adapters.tuned import TunedModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError


class NodeProbe(TunedModel):
    """A head on the value of a node, pooled as the backbone pools the last one, its final norm included (own choice).

    What lies above the node is not computed. At the last node this is the ordinary linear probe.

    Args:
        stream: not copied, stays frozen.
        node: see `check_node`.
        classes: of the task.
        head_generator: source of the head.
        frozen_dtype: what values are rounded to; None leaves them.
    """

    def __init__(
        self,
        stream: ResidualStream,
        node: int,
        classes: int,
        *,
        head_generator: torch.Generator,
        frozen_dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.stream, self.frozen_dtype = stream, frozen_dtype
        self.frozen_nodes = (check_node(node, stream),)
        self.pooled = node == stream.nodes - 1
        self.head = classification_head(stream.width, classes, head_generator)

    def forward(self, inputs: Tensor | Mapping[int, Tensor]) -> Tensor:
        """Normalised images (B, C, H, W), or their values at the node, to logits (B, classes)."""
        (node,) = self.frozen_nodes
        values = (self.frozen(inputs) if isinstance(inputs, Tensor) else inputs)[node]
        read = self.stream.read_by_pool(values.to(self.head.weight.dtype))
        logits: Tensor = self.head(self.stream.pool(read, self.stream.context()))
        return logits

    def frozen(self, images: Tensor) -> dict[int, Tensor]:
        """The value of the node, (B, T, d), by its number. Keeps no graph."""
        return frozen_features(self.stream, images, self.frozen_nodes, self.frozen_dtype, pooled=self.pooled)


def check_node(node: int, stream: ResidualStream) -> int:
    """`node`, if the stream has it.

    Raises:
        UserError: it has not; or it is node 0 where the class token alone is pooled, which there knows no image.
    """
    if node >= stream.nodes:
        raise UserError(Problem(f"the backbone's nodes are 0..{stream.nodes - 1}", "method.node", str(node)))
    blank = torch.zeros(1, 2, 1)
    if node == 0 and stream.read_by_pool(blank).shape != blank.shape:
        message = "the class token, which this backbone pools, is the same for all images there"
        raise UserError(Problem(message, "method.node", str(node)))
    return node
