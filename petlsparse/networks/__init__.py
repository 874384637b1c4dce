"""Networks trained from scratch: one builder function and one line in `NETWORKS` each.

A builder takes the shape of one example (C, H, W), the number of classes, and whichever options of `build_network`
it understands; it returns a module that maps images (B, C, H, W) to logits (B, classes).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from petlsparse.errors import Problem, UserError
from petlsparse.registry import resolve

if TYPE_CHECKING:
    from torch import nn

NETWORKS = {
    "mlp": "petlsparse.networks.mlp:mlp",
    "lenet5": "petlsparse.networks.convolutional:lenet5",
    "small-conv": "petlsparse.networks.convolutional:small_conv",
    "vit-micro": "petlsparse.networks.vit_micro:vit_micro_classifier",
}
"""Network name -> function (input_shape, classes, **options it takes) returning the module."""


def build_network(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    widths: tuple[int, ...] | None = None,
    dropout: float = 0.0,
) -> nn.Module:
    """Build a network with freshly drawn weights.

    The layers draw their weights as PyTorch does, from the global generator: seed it around this call.

    Args:
        name: a key of `NETWORKS`.
        input_shape: (C, H, W) of one example.
        classes: number of logits.
        widths: hidden widths, for a network that lets you choose them; None means its own.
        dropout: probability of dropping an activation in training, for a network that has dropout.

    Raises:
        UserError: the name is unknown, or the network cannot take an option or the shape it was given.
    """
    build = resolve(NETWORKS, name, "network")
    options: dict[str, Any] = {}
    if widths is not None:
        options["widths"] = widths
    if dropout:
        options["dropout"] = dropout
    refused = options.keys() - inspect.signature(build).parameters.keys()
    if refused:
        raise UserError(*(Problem(f'"{name}" has no such option', f"network.{key}") for key in sorted(refused)))
    network: nn.Module = build(input_shape, classes, **options)
    return network
