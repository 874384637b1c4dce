"""The augmentation of ImageNet recipes: a part of random size and shape, enlarged to the size of the image.

Every operation is elementwise and rounds by itself, so that a run sees the same pixels on every device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

AREA = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
"""Width / height, uniform in its logarithm."""
TRIES = 10


class Crops(NamedTuple):
    """Rectangles in pixels, int64 (B,) each."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class _Taps(NamedTuple):
    """Of every pixel of a side: the two that it lies between, int64 (B, side), and how far from the first, 0..1."""

    first: Tensor
    second: Tensor
    way: Tensor


def resized_crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """RandomResizedCrop of torchvision with its defaults, bilinear, then mirrored with probability one half."""
    count, _, height, width = images.shape
    crops = random_crops(count, height, width, generator)
    mirrored = torch.randint(2, (count, 1), generator=generator).bool()
    rows, columns = _taps(crops.top, crops.height, height), _taps(crops.left, crops.width, width)
    columns = _Taps(*(torch.where(mirrored, each.flip(-1), each) for each in columns))
    between = _along_first(images.transpose(1, 2), rows)  # (B, H, C, W)
    between = _along_first(between.permute(0, 3, 2, 1), columns)  # (B, W, C, H)
    return between.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous()


def random_crops(count: int, height: int, width: int, generator: torch.Generator) -> Crops:
    """As RandomResizedCrop of torchvision draws: the first of ten tries that fits, else the largest in the middle."""
    low, high = map(math.log, RATIO)
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * _uniform((count, TRIES), generator))
    ratio = torch.exp(low + (high - low) * _uniform((count, TRIES), generator))
    places = _uniform((2, count), generator)
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    found, first = fits.any(1), fits.int().argmax(1, keepdim=True)
    largest_height = min(height, round(width / RATIO[0]))
    largest_width = min(width, round(height * RATIO[1]))
    tall = torch.where(found, heights.gather(1, first)[:, 0], largest_height)
    wide = torch.where(found, widths.gather(1, first)[:, 0], largest_width)
    top, left = (
        torch.where(found, (place * (room + 1)).long(), room // 2)
        for place, room in zip(places, (height - tall, width - wide), strict=True)
    )
    return Crops(top, left, tall, wide)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _taps(start: Tensor, length: Tensor, side: int) -> _Taps:
    """Of bilinear interpolation from `length` pixels (B,) to `side`: pixels are squares, borders go on."""
    last = (length - 1)[:, None]
    place = (torch.arange(side) + 0.5) * (length / side)[:, None] - 0.5
    place = torch.minimum(place.clamp(min=0), last)
    first = place.floor().long()
    second = torch.minimum(first + 1, last)
    return _Taps(start[:, None] + first, start[:, None] + second, (place - first).float())


def _along_first(values: Tensor, taps: _Taps) -> Tensor:
    """Interpolated along the dimension after the batch's: (B, side, ...) of any type -> float32 of the same shape."""
    first, second, way = (each.to(values.device) for each in taps)
    batch = torch.arange(len(values), device=values.device)[:, None]
    below, above = values[batch, first].float(), values[batch, second].float()
    return above.sub_(below).mul_(way.view(*way.shape, 1, 1)).add_(below)
