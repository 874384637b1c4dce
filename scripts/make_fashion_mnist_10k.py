"""Make the bundled data set ``fashion-mnist-10k`` from the full Fashion-MNIST.

    python scripts/make_fashion_mnist_10k.py [FILE]

Needs the full set on disk (``petlsparse data ls`` says where it is looked for). Every part is the class-balanced
subset that ``train_examples`` would choose from the same part of ``fashion-mnist``: 7,000 of its 54,000 training
images, 1,000 of its 6,000 validation images, 2,000 of its 10,000 test images, in the order of the full set. Prints
the SHA-256 of the arrays, which does not depend on how they were compressed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from petlsparse.data.files.bundled import FASHION_MNIST_10K
from petlsparse.data.files.fashion_mnist import fashion_mnist
from petlsparse.data.subset import balanced_subset

SIZES = {"train": 7_000, "val": 1_000, "test": 2_000}


def make() -> dict[str, np.ndarray]:
    """The arrays of the file: ``<part>_images`` (N, 28, 28) and ``<part>_labels`` (N,), uint8."""
    full = fashion_mnist()
    parts = {"train": full.train, "val": full.val, "test": full.read_test()}
    arrays = {}
    for part, size in SIZES.items():
        subset = parts[part].take(balanced_subset(parts[part].labels, size))
        arrays[f"{part}_images"] = subset.images[:, 0].numpy()
        arrays[f"{part}_labels"] = subset.labels.numpy().astype(np.uint8)
    return arrays


def sha256(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of the arrays' bytes in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def main() -> None:
    """Write the file and print what it holds."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FASHION_MNIST_10K
    arrays = make()
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 of the arrays {sha256(arrays)}")


if __name__ == "__main__":
    main()
