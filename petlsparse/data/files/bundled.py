"""Real data sets that travel inside installed packages: a part of Fashion-MNIST in ours, digits in scikit-learn."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from petlsparse.data.subset import stratified_split
from petlsparse.data.types import Source, Split
from petlsparse.errors import Problem, UserError

FASHION_MNIST_10K = Path(__file__).parents[1] / "bundled" / "fashion-mnist-10k.npz"
DIGITS_TEST, DIGITS_VAL = 797, 200


def fashion_mnist_10k() -> Source:
    """Train 7,000, val 1,000, test 2,000 of Fashion-MNIST (arXiv 1708.07747, MIT licence); 28x28 grey, 10 classes.

    Every class is equally frequent in every part. Train comes from the first 54,000 and val from the last 6,000
    official training images, test from the official test images: the parts are subsets of those of
    ``fashion-mnist``. Made by ``scripts/make_fashion_mnist_10k.py``.
    """
    train, val = (read_part(FASHION_MNIST_10K, part) for part in ("train", "val"))
    test = partial(read_part, FASHION_MNIST_10K, "test")
    return Source(10, train, val, test, mean=(0.5,), std=(0.5,))


def read_part(path: Path, part: str) -> Split:
    """One part of an npz file with arrays ``<part>_images`` (N, H, W) and ``<part>_labels`` (N,), both uint8."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise UserError(Problem(f"cannot read the {part} images: {error}", where=str(path))) from error
    return _grey(images, labels)


def digits() -> Source:
    """Train 800, val 200, test 797 of scikit-learn's 1,797 handwritten digits; 8x8 grey, stratified by class."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rest, test = _separate(_grey(pixels, labels), DIGITS_TEST, "digits/test")
    train, val = _separate(rest, DIGITS_VAL, "digits/val")
    return Source(10, train, val, lambda: test, mean=(0.5,), std=(0.5,))


def _separate(split: Split, held_out: int, purpose: str) -> tuple[Split, Split]:
    kept, held = stratified_split(split.labels, held_out, purpose)
    return split.take(kept), split.take(held)


def _grey(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(torch.from_numpy(images)[:, None], torch.from_numpy(labels).to(torch.int64))
