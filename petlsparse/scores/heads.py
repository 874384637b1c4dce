"""The head under which edges are scored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.adapters.adapter import zero_linear

DECAY = 1e-3
"""L2 penalty of the probe (own choice): without it, where classes can be told apart, every gradient would vanish."""


def probed_head(features: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """A linear probe of features (N, d) with labels (N,), fully trained: by L-BFGS, from zero, in float64.

    Features are standardised while it is trained; the head that is returned takes them as they are.
    """
    x = features.double()
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - mean) / std
    weight = x.new_zeros(classes, x.shape[1]).requires_grad_(True)
    bias = x.new_zeros(classes).requires_grad_(True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, labels) + DECAY / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    head = zero_linear(x.shape[1], classes).to(features)
    with torch.no_grad():
        head.weight.copy_(weight / std)
        head.bias.copy_(bias - (weight / std) @ mean)
    return head.requires_grad_(False)
