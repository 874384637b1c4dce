"""One forward and one backward pass of a frozen network: the stream at every node, and the gradients of the loss there.

An adapter that adds nothing yet changes no value, so this one pass knows the gradient of every adapter there could be:
that of a linear map on the edge (i, j) is the sum over tokens of x_i (outer) dL/dx_j, also for recurrent edges, whose
source is read from a base pass that is the same frozen network (arXiv 2410.15858, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError

T = TypeVar("T")

ScoringAdapter: TypeAlias = "Callable[[FrozenPass], Callable[[int], Tensor]]"
"""An adapter that adds nothing yet: a pass -> source node -> the gradients of the adapters from there to every target,
summed over images and tokens, (n, a, b)."""


class FrozenPass:
    """A frozen stream and a head on some images.

    Args:
        stream: its parameters need no gradient.
        head: features to logits.
        inputs: of the stream, B examples.
        labels: (B,).
        adapter: whose gradients `gradient_matrices` are.
        objective: logits (B, classes) and labels to a number, the cross-entropy summed over examples unless given.

    Attributes:
        values: x, (n, B, T, d).
        gradients: dL/dx, (n, B, T, d), where L sums over examples, so that each has its own.
        context: of the stream.

    Raises:
        UserError: the head's weights are zero, so that every gradient is, or a value or gradient is not finite.
    """

    def __init__(
        self,
        stream: ResidualStream,
        head: nn.Linear,
        inputs: Any,
        labels: Tensor,
        *,
        adapter: ScoringAdapter,
        objective: Callable[[Tensor, Tensor], Tensor] | None = None,
    ):
        if not head.weight.any():
            raise UserError(Problem("under a head of zeros every gradient is zero: nothing can be scored", "method"))
        self.stream, self.adapter = stream, adapter
        self._made: dict[Callable[[FrozenPass], Any], Any] = {}
        with torch.enable_grad():
            x, self.context = stream.embed(inputs)
            nodes = [x.detach().requires_grad_(True)]
            for j in range(1, stream.nodes):
                nodes.append(stream.advance(j, nodes[-1], self.context))
            logits = head(stream.pool(nodes[-1], self.context))
            loss = F.cross_entropy(logits, labels, reduction="sum") if objective is None else objective(logits, labels)
            gradients = torch.autograd.grad(loss, nodes)
        self.values = torch.stack([node.detach() for node in nodes])
        self.gradients = torch.stack(gradients)
        if not (self.values.isfinite().all() and self.gradients.isfinite().all()):
            raise UserError(
                Problem("values or gradients of this backbone are not finite: nothing can be scored", "method")
            )

    @cached_property
    def tokens(self) -> Tensor:
        """X as (n, B * T, d)."""
        return self.values.flatten(1, 2)

    @cached_property
    def token_gradients(self) -> Tensor:
        """dL/dx as (n, B * T, d)."""
        return self.gradients.flatten(1, 2)

    def once(self, function: Callable[[FrozenPass], T]) -> T:
        """What a function makes of this pass, computed the first time it is asked for."""
        if function not in self._made:
            self._made[function] = function(self)
        made: T = self._made[function]
        return made
