"""Whose gradients are scored: a linear map of zeros, a sketch of it, or a bottleneck adapter as it would be trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from petlsparse.adapters.adapter import Adapter
from petlsparse.adapters.edges import Edge
from petlsparse.scores.frozen_pass import FrozenPass, ScoringAdapter


def linear_map(nodes: FrozenPass) -> Callable[[int], Tensor]:
    """A(x) = x W with W of zeros: dL/dW = x_i^T dL/dx_j, (n, d, d) (arXiv 2410.15858, section 3.2)."""
    return _products(nodes.tokens, nodes.token_gradients)


def sketch_of_linear_map(width: int, size: int, generator: torch.Generator) -> ScoringAdapter:
    """The same seen through random projections: P^T dL/dW Q, (n, k, k), P and Q normal with variance 1/k.

    Products cost (k/d)^2 of what they cost without, spectra (k/d)^3. Singular values are approximate, and no rank
    exceeds k (own choice; the paper has no sketch).

    Args:
        width: d.
        size: k.
        generator: of P and Q, the same for all edges.
    """
    read, write = (torch.randn(width, size, generator=generator) / size**0.5 for _ in range(2))

    def adapter(nodes: FrozenPass) -> Callable[[int], Tensor]:
        device = nodes.tokens.device
        return _products(nodes.tokens @ read.to(device), nodes.token_gradients @ write.to(device))

    return adapter


def bottleneck(adapter_on: Callable[[Edge], Adapter]) -> ScoringAdapter:
    """A fresh `Adapter`: while its up-projection is zero, dL/dW_up is all the gradient that its matrices have.

    dL/dW_up = alpha sigma(LN(x_i) W_down)^T dL/dx_j, (n, r, d), W_up being (r, d). The n^2 down-projections are made
    once and held.

    Args:
        adapter_on: edge -> the adapter that would be trained there, with its initial weights, on the device.
    """

    @cache
    def down_projections(source: int, targets: int) -> Tensor:
        return torch.cat([adapter_on(Edge(source, target)).down.weight.detach() for target in range(targets)]).T

    def adapter(nodes: FrozenPass) -> Callable[[int], Tensor]:
        first = adapter_on(Edge(0, 0))  # initial norm, bias and alpha are the same on all edges

        def gradients(source: int) -> Tensor:
            targets = len(nodes.values)
            with torch.no_grad():
                hidden = first.norm(nodes.tokens[source]) @ down_projections(source, targets)
                hidden = first.activation(hidden).view(len(hidden), targets, -1)
                return first.alpha * (hidden.permute(1, 2, 0) @ nodes.token_gradients)

        return gradients

    return adapter


def _products(values: Tensor, gradients: Tensor) -> Callable[[int], Tensor]:
    """Source -> values_i^T gradients_j of all j, (n, a, b), of (n, B * T, a) and (n, B * T, b)."""
    nodes, tokens, width = gradients.shape
    side_by_side = gradients.transpose(0, 1).reshape(tokens, nodes * width)  # one large product instead of n

    def of(source: int) -> Tensor:
        return (values[source].T @ side_by_side).view(-1, nodes, width).transpose(0, 1)

    return of
