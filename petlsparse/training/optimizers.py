"""torch's optimizers by name, one parameter group, fused where every parameter is a float on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer


def sgd(
    parameters: Sequence[nn.Parameter], *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> Optimizer:
    """SGD with (Nesterov) momentum; Nesterov is dropped without momentum, where it has no meaning."""
    return SGD(
        parameters,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        weight_decay=weight_decay,
        fused=True,
    )


def adam(
    parameters: Sequence[nn.Parameter],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> Optimizer:
    """Adam; weight decay enters the gradient."""
    return Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(
    parameters: Sequence[nn.Parameter],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> Optimizer:
    """AdamW; weight decay is decoupled from the gradient."""
    return AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": sgd, "adam": adam, "adamw": adamw}
