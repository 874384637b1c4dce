"""Sets of weights of a layer as positions in the flattened weight: int64, ascending, without repeats."""

import numpy as np
import torch
from torch import Tensor


def indices_of(marks: Tensor) -> Tensor:
    """Where a boolean tensor (N,) is True."""
    if marks.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(marks.numpy()))  # two to four times as fast as torch.nonzero
    return marks.nonzero().squeeze(1)


def mask_of(positions: Tensor, size: int) -> Tensor:
    """The inverse: a boolean tensor (size,) that is True at `positions`."""
    return torch.zeros(size, dtype=torch.bool, device=positions.device).index_fill_(0, positions, True)
