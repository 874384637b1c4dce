"""torch's optimizers by name, fused: every parameter is a float on one device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.optimizer import ParamsT


def sgd(parameters: ParamsT, *, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> Optimizer:
    """SGD of torch with (Nesterov) momentum; Nesterov is dropped without momentum, where it has no meaning."""
    return SGD(
        parameters,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        weight_decay=weight_decay,
        fused=True,
    )


def adam(
    parameters: ParamsT,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    kind: type[Adam] | type[AdamW] = Adam,
) -> Optimizer:
    """Adam of torch, whose weight decay enters the gradient, or AdamW, whose weight decay does not."""
    return kind(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": sgd, "adam": adam, "adamw": partial(adam, kind=AdamW)}
