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
    count, _, height, width = images.shape
    rows = torch.arange(height).expand(count, -1)
    return _windows(images, rows, (width - 1) * _mirrored(count, generator))


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror with probability one half, pad by reflection, crop back to the same size at a random place.

    The padding is an eighth of each side: 4 pixels for 32x32 images, as in CIFAR training (arXiv 2306.12230,
    released code).
    """
    count, _, height, width = images.shape
    down, right = _shifts(count, height, generator), _shifts(count, width, generator)
    # A reflected row goes on in its mirror image at both ends: width - 1 columns further on, everything is mirrored.
    over = torch.where(right > 0, 1 - width, width - 1)  # back or forth, so as to stay within one mirror image
    return _windows(images, _reflected(down, height), right + over * _mirrored(count, generator))


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


def _shifts(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Up to side // 8 pixels either way, (count, 1)."""
    reach = side // 8
    return torch.randint(-reach, reach + 1, (count, 1), generator=generator)


def _mirrored(count: int, generator: torch.Generator) -> Tensor:
    """True for about one half, (count, 1)."""
    return torch.randint(2, (count, 1), generator=generator).bool()


def _reflected(shift: Tensor, side: int) -> Tensor:
    """Pixel indices (B, side) of a side shifted by (B, 1); beyond the border they turn back."""
    index = (torch.arange(side) + shift).abs()
    return side - 1 - (side - 1 - index).abs()


def _windows(images: Tensor, rows: Tensor, first: Tensor) -> Tensor:
    """Of every image the rows (B, H), each from column `first` (B, 1) on, in -(W - 1) .. W - 1.

    Whole rows are copied: on a CPU faster than a gather of pixels, and fewer indices to move to a GPU.
    """
    count, channels, height, width = images.shape
    pitch = 3 * width - 2
    mirror, extended = images.flip(-1), images.new_empty(count, channels, height, pitch)
    extended[..., :width] = mirror
    extended[..., width - 1 : 2 * width - 1] = images
    extended[..., 2 * width - 2 :] = mirror
    within = (rows * pitch + (width - 1 + first)).to(images.device)
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1) * (height * pitch)
    windows = extended.flatten().unfold(0, width, 1)  # a view: one window for every byte to start at
    return windows.index_select(0, (planes + within[:, None]).flatten()).view(images.shape)
