"""Size and channels of whole splits, changed once when data are loaded."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from petlsparse.errors import Problem, UserError

_CHUNK = 4096  # images resized at once: bounds the float32 copy


def with_size(images: Tensor, size: int | None) -> Tensor:
    """Images uint8 (N, C, H, W) as squares (N, C, size, size): antialiased bilinear, rounded to nearest.

    None leaves them as they are. Raises UserError for a size below 1.
    """
    if size is None or images.shape[-2:] == (size, size):
        return images
    if size < 1:
        raise UserError(Problem("must be positive", where="image_size", value=str(size)))
    resized = images.new_empty(*images.shape[:2], size, size)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].float()
        chunk = functional.interpolate(chunk, (size, size), mode="bilinear", antialias=True)
        resized[start : start + _CHUNK] = chunk.round_().clamp_(0, 255)
    return resized


def with_channels(images: Tensor, channels: int | None) -> Tensor:
    """Images uint8 (N, C, H, W) in grey (1) or colour (3), (N, channels, H, W). Colour becomes grey by the BT.601 luma.

    None leaves them as they are. Raises UserError for any other number of channels.
    """
    present = images.shape[1]
    if channels is None or channels == present:
        return images
    if (present, channels) == (1, 3):
        return images.expand(-1, 3, -1, -1).contiguous()
    if (present, channels) == (3, 1):
        luma = torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1)
        return (images * luma).sum(1, keepdim=True).round_().to(torch.uint8)
    raise UserError(Problem(f"images of {present} channels become 1 or 3", where="channels", value=str(channels)))
