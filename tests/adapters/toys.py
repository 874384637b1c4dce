"""A backbone small enough for float64 oracles, and adapters that do something."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from petlsparse.adapters.models import PlacedAdapters
from petlsparse.backbones.stream import ResidualStream
from petlsparse.backbones.timm_streams import as_stream

WIDTH, CLASSES = 12, 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny_stream(depth: int = 3, **options: object) -> ResidualStream:
    """2*depth+1 nodes of width 12 over five tokens (four patches of a 4x4 image and a class token), float64."""
    vit = VisionTransformer(
        img_size=4, patch_size=2, embed_dim=WIDTH, depth=depth, num_heads=2, mlp_ratio=2, num_classes=0, **options
    )
    source = generator(1)
    for parameter in vit.parameters():
        nn.init.normal_(parameter, std=0.3, generator=source)
    return as_stream(vit.double(), mean=(0.5,) * 3, std=(0.5,) * 3)


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=generator(2), dtype=torch.float64)


def placed(edges: Iterable[tuple[int, int]], stream: ResidualStream | None = None, **options: object) -> PlacedAdapters:
    """Fresh adapters of rank 3 on a tiny stream, float64."""
    settings = {"rank": 3, "generator": generator(3), "head_generator": generator(4)}
    return PlacedAdapters(stream or tiny_stream(), edges, CLASSES, **{**settings, **options}).double()


def stir(model: PlacedAdapters) -> PlacedAdapters:
    """The model with adapters as training might leave them: no parameter at its initial value."""
    source = generator(5)
    for parameter in model.adapters.parameters():
        nn.init.normal_(parameter, mean=0.2, std=0.5, generator=source)
    return model
