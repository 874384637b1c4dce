"""The multilayer perceptron of arXiv 2306.12230 (3072-1024-512-10 on CIFAR-10), at any width and depth."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from petlsparse.errors import Problem, UserError
from petlsparse.networks.dropout import Dropout


def mlp(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    widths: tuple[int, ...] = (1024, 512),
    dropout: float = 0.0,
) -> nn.Module:
    """Linear layers `fc1`, `fc2`, ... with biases on the flattened image, ReLU between them.

    Args:
        input_shape: (C, H, W) of one example.
        classes: number of logits.
        widths: hidden widths; none at all makes a linear classifier.
        dropout: probability of dropping an activation, before every linear layer (the study's dropout MLP).

    Raises:
        UserError: a width below 1, or a dropout probability outside [0, 1).
    """
    if any(width < 1 for width in widths):
        raise UserError(Problem("hidden widths must be positive", "network.widths", str(list(widths))))
    if not 0 <= dropout < 1:
        raise UserError(Problem("must be at least 0 and less than 1", "network.dropout", str(dropout)))
    channels, height, width = input_shape
    fans = pairwise((channels * height * width, *widths, classes))
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for index, (fan_in, fan_out) in enumerate(fans, start=1):
        if index > 1:
            layers[f"relu{index - 1}"] = nn.ReLU()
        if dropout:
            layers[f"drop{index}"] = Dropout(dropout)
        layers[f"fc{index}"] = nn.Linear(fan_in, fan_out)
    return nn.Sequential(layers)
