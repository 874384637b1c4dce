"""Augmentations of a whole batch at once on its device, and the normalisation that follows them.

An augmentation maps images uint8 (B, C, H, W) to the same. Its random numbers are drawn from a generator on the
CPU and then moved, so that a run sees the same crops on every device.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def none(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images as they are; draws nothing."""
    return images


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    height, width = images.shape[-2:]
    rows = torch.arange(height).expand(len(images), -1)
    return _pick(images, rows, _mirror_half(torch.arange(width).expand(len(images), -1), width, generator))


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pad by reflection, crop back to the same size at a random place, then mirror with probability one half.

    The padding is an eighth of each side: 4 pixels for 32x32 images, as in CIFAR training (arXiv 2306.12230,
    released code).
    """
    height, width = images.shape[-2:]
    rows = _reflected_window(len(images), height, generator)
    columns = _reflected_window(len(images), width, generator)
    return _pick(images, rows, _mirror_half(columns, width, generator))


def normalise(
    images: Tensor, mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype = torch.float32
) -> Tensor:
    """(pixel / 255 - mean) / std per channel, computed in float32: images uint8 (B, C, H, W) -> dtype (B, C, H, W)."""
    centre, scale = _per_channel(mean, images.device), _per_channel(std, images.device)
    return images.float().div_(255).sub_(centre).div_(scale).to(dtype)


@lru_cache(maxsize=16)
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Made once per device: a copy to a GPU at every batch would make it wait."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


def _reflected_window(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Pixel indices (count, side) of windows shifted by up to side // 8; beyond the border they turn back."""
    reach = side // 8
    shift = torch.randint(-reach, reach + 1, (count, 1), generator=generator)
    index = (torch.arange(side) + shift).abs()
    return side - 1 - (side - 1 - index).abs()


def _mirror_half(columns: Tensor, width: int, generator: torch.Generator) -> Tensor:
    mirrored = torch.randint(2, (len(columns), 1), generator=generator).bool()
    return torch.where(mirrored, width - 1 - columns, columns)


def _pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Every image rearranged by its own row (B, H) and column (B, W) indices, in one gather."""
    pixel = rows[:, :, None] * images.shape[-1] + columns[:, None, :]
    pixel = pixel.flatten(1)[:, None].to(images.device).expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, pixel).view(images.shape)
