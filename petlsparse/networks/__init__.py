"""Networks trained from scratch: one builder function and one line in `NETWORKS` each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from petlsparse.registry import resolve

if TYPE_CHECKING:
    from torch import nn

NETWORKS = {
    "mlp": "petlsparse.networks.builders:mlp",
    "lenet5": "petlsparse.networks.builders:lenet5",
    "small-conv": "petlsparse.networks.builders:small_conv",
    "vit-micro": "petlsparse.networks.builders:vit_micro",
}
"""Network name -> function (input_shape, classes, **settings) returning the module."""


def build_network(name: str, input_shape: tuple[int, int, int], classes: int, **settings: Any) -> nn.Module:
    """Build a network with freshly drawn weights.

    The layers draw their weights as PyTorch does, from the global generator: seed it around this call.

    Args:
        name: a key of `NETWORKS`, or "FILE.py:FUNCTION".
        input_shape: (C, H, W) of one example.
        classes: number of logits.
        settings: keyword arguments of the network's function.

    Raises:
        UserError: the name is unknown, or the network cannot take the shape it was given.
    """
    network: nn.Module = resolve(NETWORKS, name, "network")(input_shape, classes, **settings)
    return network
