"""What a forward pass is besides its weights, as text to be hashed: two backbones of equal weights may differ in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

from timm.layers.drop import DropPath
from timm.layers.patch_dropout import PatchDropout, PatchDropoutWithIndices
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

INACTIVE_IN_EVAL = (nn.Identity, _DropoutNd, DropPath, PatchDropout, PatchDropoutWithIndices)
"""Modules that do nothing in evaluation mode."""

IGNORED_ATTRIBUTES = {
    "training",
    "inplace",
    "grad_checkpointing",
    "fused_attn",
    "weight_init_mode",
    "fix_init",
    "head_init_scale",
}
IGNORED_ATTRIBUTES |= {"num_classes", "patch_drop", "aug_active", "shift_coords", "jitter_coords", "rescale_coords"}
"""Attributes that do not decide what is computed in evaluation mode: how it is executed, how weights began, what a
classifier was, that no patches are dropped, how rotary positions are varied in training."""


def forward_description(model: nn.Module) -> str:
    """The classes of all modules that do something, in order, with their names and settings, as JSON.

    Any plain attribute counts as a setting, so that one that is new in timm is not overlooked.
    """
    modules = [
        [name, f"{type(module).__module__}.{type(module).__qualname__}", dict(_settings(module))]
        for name, module in model.named_modules()
        if not isinstance(module, INACTIVE_IN_EVAL)
    ]
    return json.dumps(modules, sort_keys=True)


def _settings(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name not in IGNORED_ATTRIBUTES and not name.startswith("_") and _is_plain(value):
            yield name, value.value if isinstance(value, Enum) else value


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | Enum)
