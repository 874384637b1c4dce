"""A few of the backbone's own parameters trained: its biases, or its norms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from timm.layers.norm import RmsNorm, SimpleNorm
from torch import nn

from petlsparse.adapters.adapter import classification_head
from petlsparse.adapters.tuned import TunedModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError

NORMS = (nn.LayerNorm, nn.RMSNorm, RmsNorm, SimpleNorm)


class PartiallyTrainedModel(TunedModel):
    """A stream of which some parameters are trained, and a head. No dropout, no drop-path (own choice).

    Args:
        stream: not copied.
        trained: parameters of it.
        classes: of the task.
        head_generator: source of the head.
    """

    def __init__(
        self,
        stream: ResidualStream,
        trained: Iterable[nn.Parameter],
        classes: int,
        *,
        head_generator: torch.Generator,
    ):
        super().__init__()
        self.stream = stream
        for parameter in trained:
            parameter.requires_grad_(True)
        self.head = classification_head(stream.width, classes, head_generator)


def biases(stream: ResidualStream) -> Mapping[str, nn.Parameter]:
    """All biases of the backbone by name, those of norms and patches among them (BitFit, arXiv 2106.10199).

    Raises:
        UserError: there are none.
    """
    own = {name: parameter for name, parameter in stream.model.named_parameters() if _is_bias(name)}
    return _some(own, "biases")


def _is_bias(name: str) -> bool:
    own = name.rpartition(".")[2]
    return own == "bias" or own.endswith("_bias")  # some attentions have a q_bias and a v_bias


def norms(stream: ResidualStream) -> Mapping[str, nn.Parameter]:
    """Weights and biases of the backbone's norms over channels, the final one included, by name.

    Raises:
        UserError: there are none.
    """
    own = {
        f"{name}.{of_norm}": parameter
        for name, module in stream.model.named_modules()
        if isinstance(module, NORMS)
        for of_norm, parameter in module.named_parameters(recurse=False)
    }
    return _some(own, "norms with weights")


def _some(found: Mapping[str, nn.Parameter], what: str) -> Mapping[str, nn.Parameter]:
    if not found:
        raise UserError(Problem(f"the backbone has no {what} to train", "method.kind"))
    return found
