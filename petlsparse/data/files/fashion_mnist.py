"""Fashion-MNIST (arXiv 1708.07747) from the idx files that torchvision or a Linux distribution has put on disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from petlsparse.data.files.idx import read_idx
from petlsparse.data.files.published import FASHION_MNIST
from petlsparse.data.types import RawDataset, Split
from petlsparse.errors import Problem, UserError

CLASSES = 10
VALIDATION = 6_000
"""The last images of the official training half (arXiv 2306.12230, released code)."""


def fashion_mnist() -> RawDataset:
    """Train 54,000, val 6,000 (the official training half, not shuffled), test 10,000; grey 28x28, 10 classes."""
    folder = FASHION_MNIST.locate()
    half = read_half(folder, "train")
    train, val = half.take(slice(None, -VALIDATION)), half.take(slice(-VALIDATION, None))
    return RawDataset(CLASSES, train, val, partial(read_half, folder, "t10k"), mean=(0.5,), std=(0.5,))


def read_half(folder: Path, half: str) -> Split:
    """One official half, "train" or "t10k", in file order."""
    images = read_idx(folder / f"{half}-images-idx3-ubyte")
    labels = read_idx(folder / f"{half}-labels-idx1-ubyte")
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        message = f"images of shape {images.shape} do not go with labels of shape {labels.shape}"
        raise UserError(Problem(message, where=str(folder / half)))
    return Split(torch.tensor(images)[:, None], torch.tensor(labels, dtype=torch.int64))
