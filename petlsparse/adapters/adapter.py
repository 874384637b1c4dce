"""The adapter module and the classification head, each initialised from its own generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.errors import Problem, UserError, unknown_name

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
INITS: Mapping[str, Callable[..., Tensor]] = {
    "kaiming": partial(nn.init.kaiming_uniform_, a=math.sqrt(5)),
    "houlsby": partial(nn.init.trunc_normal_, std=0.01, a=-0.02, b=0.02),
    "bert": partial(nn.init.normal_, std=0.02),
    "xavier": nn.init.xavier_uniform_,
}
"""How W_down is drawn, and W_up as well but for "kaiming"."""
SCALE_KINDS = ("scalar", "channel", "fixed")
HEAD_STD = 0.02


class Adapter(nn.Module):
    """A(x) = alpha * sigma(LN(x) W_down) W_up on tokens x (B, T, d) (arXiv 2410.15858).

    With W_down (d, r) and W_up (r, d), LN affine, no bias: 2dr + 2d + 1 parameters. The paper leaves sigma and the
    initialisation open; here ReLU, W_down Kaiming-uniform with a = sqrt(5), W_up and biases zero, so that a fresh
    adapter adds nothing. With another `init` W_up is drawn too, and a fresh adapter adds something.

    Args:
        width: d.
        rank: r, at most d.
        activation: a name in ACTIVATIONS.
        layer_norm: normalise the input first, as the paper does everywhere.
        bias: add biases to both projections.
        scale: initial alpha.
        scale_kind: "scalar", one trained alpha; "channel", trained, one for each of d outputs; "fixed", not trained.
        dropout: probability that, in training, an entry of what W_up reads is dropped.
        init: a name in INITS.
        generator: source of the initial weights.

    Raises:
        UserError: an unknown name, a rank outside 1..d, or scale 0, which with W_up = 0 would never train.
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
        scale_kind: str = "scalar",
        dropout: float = 0.0,
        init: str = "kaiming",
    ):
        super().__init__()
        _check_name("activation", activation, ACTIVATIONS)
        _check_name("init", init, INITS)
        _check_name("scale_kind", scale_kind, SCALE_KINDS)
        check_rank(rank, width)
        if scale == 0:
            message = "must not be 0: W_up starts at zero, so neither would ever receive a gradient"
            raise UserError(Problem(message, where="method.scale"))
        self.activation, self.has_bias = ACTIVATIONS[activation], bias
        self.norm = nn.LayerNorm(width) if layer_norm else nn.Identity()
        self.down = zero_linear(width, rank, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.up = zero_linear(rank, width, bias=bias)
        alpha = torch.full((width,) if scale_kind == "channel" else (), float(scale))
        self.alpha = nn.Parameter(alpha, requires_grad=scale_kind != "fixed")
        for layer in (self.down,) if init == "kaiming" else (self.down, self.up):
            INITS[init](layer.weight, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """What to add at the target, (B, T, d), from the source's tokens (B, T, d)."""
        hidden = self.dropout(self.activation(self.down(self.norm(x))))
        # alpha scales the small matrix, not the many tokens: the same product, far fewer multiplications.
        bias = self.alpha * self.up.bias if self.has_bias else None
        return F.linear(hidden, of_rows(self.alpha) * self.up.weight, bias)

    def update_norm(self) -> float:
        """Frobenius norm of alpha W_down W_up, (d, d): how much of a map the adapter has become."""
        # ||W_down W_up||^2 = <W_down^T W_down, W_up W_up^T>: two (r, r) Gram matrices, never the (d, d) product.
        down, up, alpha = (tensor.detach().double() for tensor in (self.down.weight, self.up.weight, self.alpha))
        if alpha.ndim:
            up, alpha = of_rows(alpha) * up, torch.ones(())
        squared = torch.sum((down @ down.T) * (up.T @ up)).clamp_min(0)
        return abs(alpha.item()) * math.sqrt(squared.item())

    def extra_repr(self) -> str:
        """What modules inside do not tell: activation, size of alpha, whether it is trained."""
        trained = "trained" if self.alpha.requires_grad else "fixed"
        return f"{self.activation.__name__}, alpha {tuple(self.alpha.shape)} {trained}"


def adapter_parameters(width: int, rank: int, *, layer_norm: bool, bias: bool, scale_kind: str, **_: object) -> int:
    """How many trained parameters an `Adapter` of such arguments has."""
    scales = {"scalar": 1, "channel": width, "fixed": 0}[scale_kind]
    return 2 * width * rank + 2 * width * layer_norm + (width + rank) * bias + scales


def _check_name(setting: str, name: str, valid: Collection[str]) -> None:
    if name not in valid:
        raise UserError(unknown_name(setting, name, valid, f"method.{setting}"))


def of_rows(alpha: Tensor) -> Tensor:
    """Factors of the rows of a matrix (d, r): a scalar as it is, one for each row as a column (d, 1)."""
    return alpha.unsqueeze(-1) if alpha.ndim else alpha


def check_rank(rank: int, width: int, where: str = "method.rank") -> int:
    """`rank`, if a bottleneck between layers of `width` can have it."""
    if not 1 <= rank <= width:
        raise UserError(Problem(f"must be at least 1 and at most {width}, the backbone's width", where, str(rank)))
    return rank


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
