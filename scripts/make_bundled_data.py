"""Make the data sets that travel with the package: ``fashion-mnist-10k`` and ``digits``.

    python scripts/make_bundled_data.py NAME [FILE]

Prints the SHA-256 of the arrays, which does not depend on how they were compressed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from petlsparse.data.files.bundled import BUNDLED
from petlsparse.data.files.fashion_mnist import fashion_mnist
from petlsparse.data.subset import balanced_subset, stratified_split


def fashion_mnist_10k() -> dict[str, np.ndarray]:
    """The class-balanced subsets that ``train_examples`` would choose from the same parts of ``fashion-mnist``.

    Needs the full set on disk (``petlsparse data ls`` says where it is looked for): 7,000 of its 54,000 training
    images, 1,000 of its 6,000 validation images, 2,000 of its 10,000 test images, in the order of the full set.
    """
    full = fashion_mnist()
    parts = {"train": (full.train, 7_000), "val": (full.val, 1_000), "test": (full.read_test(), 2_000)}
    arrays = {}
    for part, (split, size) in parts.items():
        subset = split.take(balanced_subset(split.labels, size))
        arrays[f"{part}_images"] = subset.images[:, 0].numpy()
        arrays[f"{part}_labels"] = subset.labels.numpy().astype(np.uint8)
    return arrays


def digits() -> dict[str, np.ndarray]:
    """The 1,797 digits of scikit-learn, their 17 levels of grey spread over a byte, split by class: 800, 200, 797."""
    import torch
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rest, test = stratified_split(torch.from_numpy(labels), 797, "digits/test")
    train, val = stratified_split(torch.from_numpy(labels)[rest], 200, "digits/val")
    arrays = {}
    for part, indices in {"train": rest[train], "val": rest[val], "test": test}.items():
        arrays[f"{part}_images"] = images[indices.numpy()]
        arrays[f"{part}_labels"] = labels[indices.numpy()].astype(np.uint8)
    return arrays


MAKERS = {"fashion-mnist-10k": fashion_mnist_10k, "digits": digits}


def sha256(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of the arrays' bytes in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def main() -> None:
    """Write the file and print what it holds."""
    name = sys.argv[1]
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else BUNDLED / f"{name}.npz"
    arrays = MAKERS[name]()
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 of the arrays {sha256(arrays)}")


if __name__ == "__main__":
    main()
