"""Parameter groups of an optimizer: which learning rate and weight decay each parameter has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import nn


class ParameterRole(NamedTuple):
    """What a parameter is in its model, as far as settings of an optimizer ask for it."""

    is_weight: bool
    """Not so are norms, biases and scales."""
    in_head: bool
    """Of the classification head that a pre-trained model was given."""
    above: int
    """Layers between it and the output, as layer-wise decay counts them; 0 where they are not told apart."""


def roles(
    parameters: Iterable[nn.Parameter],
    *,
    weights: AbstractSet[nn.Parameter] = frozenset(),
    head: AbstractSet[nn.Parameter] = frozenset(),
    above: Mapping[nn.Parameter, int] = MappingProxyType({}),
) -> dict[nn.Parameter, ParameterRole]:
    """The roles of what is trained, in order.

    Args:
        parameters: all that are trained; those of two dimensions and more are weights.
        weights: others that are, whatever their shape: the active entries of a truly sparse layer.
        head: those of the head.
        above: of those that have layers above them.
    """
    return {p: ParameterRole(p.ndim > 1 or p in weights, p in head, above.get(p, 0)) for p in parameters}


def parameter_groups(
    of: Mapping[nn.Parameter, ParameterRole],
    *,
    lr: float,
    weight_decay: float,
    head_lr: float | None = None,
    decay_norms_and_biases: bool = True,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups as torch's optimizers take them, of all parameters with the same learning rate and weight decay.

    Args:
        of: roles of all that is trained; each group keeps their order.
        lr: learning rate at its peak.
        weight_decay: of weights, and unless told otherwise of all parameters.
        head_lr: of the head; None means `lr`.
        decay_norms_and_biases: False spares what is no weight, as timm's `filter_bias_and_bn` does.
        layer_decay: what `lr` is multiplied by for every layer above, as in BEiT (arXiv 2106.08254) and timm.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, role in of.items():
        own_lr = head_lr if role.in_head and head_lr is not None else lr * layer_decay**role.above
        decay = weight_decay if role.is_weight or decay_norms_and_biases else 0.0
        groups.setdefault((own_lr, decay), []).append(parameter)
    return [{"params": params, "lr": own_lr, "weight_decay": decay} for (own_lr, decay), params in groups.items()]
