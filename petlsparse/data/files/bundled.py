"""Real data sets that travel with the package: a part of Fashion-MNIST, and digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from petlsparse.data.types import RawDataset, Split
from petlsparse.errors import Problem, UserError

BUNDLED = Path(__file__).parents[1] / "bundled"
"""One npz file a data set, made by ``scripts/make_bundled_data.py``, and a page on it with its licence."""


def fashion_mnist_10k() -> RawDataset:
    """Train 7,000, val 1,000, test 2,000 of Fashion-MNIST (arXiv 1708.07747, MIT licence); 28x28 grey, 10 classes.

    Every class is equally frequent in every part. Train comes from the first 54,000 and val from the last 6,000
    official training images, test from the official test images: the parts are subsets of those of
    ``fashion-mnist``.
    """
    return _read(BUNDLED / "fashion-mnist-10k.npz")


def digits() -> RawDataset:
    """Train 800, val 200, test 797 handwritten digits (UCI, CC BY 4.0); 8x8 grey, stratified by class."""
    return _read(BUNDLED / "digits.npz")


def _read(path: Path) -> RawDataset:
    train, val = (read_npz_part(path, part) for part in ("train", "val"))
    return RawDataset(10, train, val, partial(read_npz_part, path, "test"), mean=(0.5,), std=(0.5,))


def read_npz_part(path: Path, part: str) -> Split:
    """One part of an npz file with arrays ``<part>_images`` (N, H, W) and ``<part>_labels`` (N,), both uint8."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise UserError(Problem(f"cannot read the {part} images: {error}", where=str(path))) from error
    return Split(torch.from_numpy(images)[:, None], torch.from_numpy(labels).to(torch.int64))
