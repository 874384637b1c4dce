"""The adapter module and the classification head, each initialised from its own generator."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.errors import Problem, UserError, unknown_name

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
HEAD_STD = 0.02


class Adapter(nn.Module):
    """A(x) = alpha * sigma(LN(x) W_down) W_up on tokens x (B, T, d) (arXiv 2410.15858).

    With W_down (d, r) and W_up (r, d), LN affine, no bias: 2dr + 2d + 1 parameters. The paper leaves sigma and the
    initialisation open; here ReLU, W_down Kaiming-uniform with a = sqrt(5), W_up and biases zero, so that a fresh
    adapter adds nothing.

    Args:
        width: d.
        rank: r.
        activation: a name in ACTIVATIONS.
        layer_norm: normalise the input first, as the paper does everywhere.
        bias: add biases to both projections.
        scale: initial alpha, trained.
        generator: source of W_down.

    Raises:
        UserError: unknown activation, rank below 1, or scale 0, which with W_up = 0 would never train.
    """

    def __init__(
        self,
        width: int,
        rank: int,
        *,
        generator: torch.Generator,
        activation: str = "relu",
        layer_norm: bool = True,
        bias: bool = False,
        scale: float = 1.0,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(unknown_name("activation", activation, ACTIVATIONS, "method.activation"))
        if rank < 1:
            raise UserError(Problem("must be at least 1", where="method.rank", value=str(rank)))
        if scale == 0:
            message = "must not be 0: W_up starts at zero, so neither would ever receive a gradient"
            raise UserError(Problem(message, where="method.scale"))
        self.activation, self.has_bias = ACTIVATIONS[activation], bias
        self.norm = nn.LayerNorm(width) if layer_norm else nn.Identity()
        self.down = zero_linear(width, rank, bias=bias)
        self.up = zero_linear(rank, width, bias=bias)
        self.alpha = nn.Parameter(torch.tensor(float(scale)))
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5), generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """What to add at the target, (B, T, d), from the source's tokens (B, T, d)."""
        hidden = self.activation(self.down(self.norm(x)))
        # alpha scales the small matrix, not the many tokens: the same product, far fewer multiplications.
        bias = self.alpha * self.up.bias if self.has_bias else None
        return F.linear(hidden, self.alpha * self.up.weight, bias)

    def update_norm(self) -> float:
        """Frobenius norm of alpha W_down W_up, (d, d): how much of a map the adapter has become; 0 at the start."""
        # ||W_down W_up||^2 = <W_down^T W_down, W_up W_up^T>: two (r, r) Gram matrices, never the (d, d) product.
        down, up = self.down.weight.detach().double(), self.up.weight.detach().double()
        squared = torch.sum((down @ down.T) * (up.T @ up)).clamp_min(0)
        return abs(self.alpha.item()) * math.sqrt(squared.item())


def classification_head(width: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """Features (B, d) to logits (B, classes): weights normal with std 0.02, zero bias.

    Small but not zero: under a zero head every gradient at every node is exactly zero.
    """
    head = zero_linear(width, classes)
    nn.init.normal_(head.weight, std=HEAD_STD, generator=generator)
    return head


def zero_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer of zeros. Unlike the plain constructor it draws nothing from the global random generator."""
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
