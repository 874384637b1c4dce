"""Parameters of several models as rows of one tensor: what is done to the tensor is done to all of them at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNMENT = 16
"""Rows begin at multiples of so many numbers, 64 bytes and more. Products and elementwise functions of a CPU round
differently at other addresses and in what is left over from whole vectors; so aligned, a model's numbers depend
neither on its row nor on how many others there are."""


@dataclass(frozen=True)
class StackedParameter:
    """One parameter of K models. The models' own are views of the rows, so that either may be written to."""

    rows: nn.Parameter
    """(K, P), a leaf; the k-th row begins with the k-th member's parameter, and what follows is zero and stays so."""
    members: tuple[int, ...]
    """Indices of the models, ascending; a model may have several rows."""
    parameters: tuple[nn.Parameter, ...]
    """The models' own parameters, in the same order, of one shape."""

    def whole(self) -> Tensor:
        """The parameters as one tensor (K, *shape), through which gradients reach the rows."""
        return unpadded(self.rows, self.parameters[0].shape)

    def gradient(self) -> Tensor | None:
        """Of all parameters, (K, *shape), a view; None before the first backward pass."""
        return None if self.rows.grad is None else unpadded(self.rows.grad, self.parameters[0].shape)


def stack_parameters(parameters: Sequence[nn.Parameter], members: Sequence[int]) -> StackedParameter:
    """A stacked parameter with their values; from here on they are views of it, and have no gradient of their own."""
    rows = as_rows([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, unpadded(rows, parameters[0].shape), strict=True):
        parameter.data = part
    leaf = nn.Parameter(rows, requires_grad=parameters[0].requires_grad)
    return StackedParameter(leaf, tuple(members), tuple(parameters))


def as_rows(tensors: Sequence[Tensor]) -> Tensor:
    """Copies of K tensors of one shape, flattened and padded with zeros: (K, P)."""
    first = tensors[0]
    rows = first.new_zeros(len(tensors), -(-first.numel() // ALIGNMENT) * ALIGNMENT)
    for part, tensor in zip(unpadded(rows, first.shape), tensors, strict=True):
        part.copy_(tensor)
    return rows


def unpadded(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """The view (K, *shape) of what rows (K, P) begin with."""
    return rows[:, : math.prod(shape)].view(len(rows), *shape)


def empty_rows(count: int, shape: Sequence[int], like: Tensor) -> Tensor:
    """Rows (count, P) for tensors of a shape, not filled in but for the padding, of the type and device of `like`."""
    size = math.prod(shape)
    rows = torch.empty(count, -(-size // ALIGNMENT) * ALIGNMENT, dtype=like.dtype, device=like.device)
    rows[:, size:] = 0
    return rows
