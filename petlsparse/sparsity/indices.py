"""Sets of weights of a layer, as masks or as indices into the flattened weight: int64, ascending, without repeats."""

import numpy as np
import torch
from torch import Tensor


def indices_of(mask: Tensor) -> Tensor:
    """Where a boolean tensor (N,) is True."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))  # two to four times as fast as torch.nonzero
    return mask.nonzero().squeeze(1)


def mask_of(indices: Tensor, size: int) -> Tensor:
    """The inverse: a boolean tensor (size,) that is True at `indices`."""
    return torch.zeros(size, dtype=torch.bool, device=indices.device).index_fill_(0, indices, True)
