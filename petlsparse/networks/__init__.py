"""Networks trained from scratch: one builder function and one line in `NETWORKS` each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from petlsparse.errors import Problem, UserError
from petlsparse.registry import calling, resolve

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
        UserError: the name is unknown, or the network does not make logits of an image of that shape.
    """
    function = resolve(NETWORKS, name, "network")
    with calling(name, "network.name"):
        network: nn.Module = function(input_shape, classes, **settings)
    if problem := _problem(network, input_shape, classes):
        raise UserError(Problem(f'"{name}" {problem}', "network.name"))
    return network


def _problem(network: object, input_shape: tuple[int, int, int], classes: int) -> str | None:
    """Why a network cannot be trained, seen in a pass over a blank image; lazy layers get their weights by it."""
    import torch
    from torch import nn

    if not isinstance(network, nn.Module):
        return f"is a {type(network).__name__}, not a module of torch"
    network.eval()
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, *input_shape))
    except Exception as error:  # noqa: BLE001 - whatever it is, it would happen in training
        return f"cannot take images of {'x'.join(map(str, input_shape))}: {error}"
    network.train()
    if not isinstance(logits, torch.Tensor) or logits.shape != (1, classes):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        return f"makes {found} of one image, not logits (1, {classes})"
    return None if any(each.requires_grad for each in network.parameters()) else "has nothing to train"
