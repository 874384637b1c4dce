"""Weight files in which the backbone's weights are part of something larger, and named accordingly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

PREFIXES = ("module.", "backbone.", "model.", "teacher.", "student.")
"""What those who train with DDP, MMPretrain, Lightning or DINO put before the names. The teacher comes before the
student, as where DINO's weights are evaluated."""

DEPTH = 3
"""As in `teacher.module.backbone.`."""

Filter = Callable[..., dict[str, Tensor]]
"""timm's: from a file's weights and a model to the weights as the model names them."""


def without_prefix(state_dict: Mapping[str, Any], model: nn.Module, filtered: Filter) -> dict[str, Any]:
    """The weights without the prefix whose removal makes them fit the model exactly, its classifier aside.

    Weights of one thing in a file, as under `teacher`, count as having its name for a prefix. Where the weights fit as
    they are, or no prefix makes them fit, they are returned as they are.
    """
    wanted = set(model.state_dict())
    if _fits(state_dict, model, filtered, wanted):
        return dict(state_dict)
    candidates = _stripped(_flat(state_dict), DEPTH)
    return next((each for each in candidates if _fits(each, model, filtered, wanted)), dict(state_dict))


def _fits(weights: Mapping[str, Any], model: nn.Module, filtered: Filter, wanted: set[str]) -> bool:
    with suppress(Exception):  # whatever timm makes of names that are not its own
        return set(filtered(dict(weights), model)) == wanted
    return False


def _flat(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for name, value in weights.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": each for inner, each in value.items() if isinstance(each, Tensor)}
        elif isinstance(value, Tensor):
            flat[name] = value
    return flat


def _stripped(weights: Mapping[str, Tensor], depth: int) -> Iterator[dict[str, Tensor]]:
    for prefix in PREFIXES if depth else ():
        if inner := {name.removeprefix(prefix): each for name, each in weights.items() if name.startswith(prefix)}:
            yield inner
            yield from _stripped(inner, depth - 1)
