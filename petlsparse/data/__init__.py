"""Named image data sets as uint8 tensors, and the vectorised augmentations applied to them on the device.

A new data set is one function returning a :class:`~petlsparse.data.types.RawDataset` and one line in ``DATASETS``; a
new augmentation is one function and one line in ``AUGMENTATIONS``. Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Known(NamedTuple):
    """What is known of a data set before it is read."""

    reader: str
    """The function, without arguments, that returns its RawDataset."""
    source: str
    """ "bundled", "generated" or "disk"."""
    shape: tuple[int, int, int]
    """Channels, height, width."""
    classes: int
    examples: tuple[int, int, int]
    """Of train, val and test."""
    place: str | None = None
    """The ``files.published.PublishedDataset`` that it is made from, where that is the user's to supply."""


DATASETS = {
    "fashion-mnist-10k": Known(
        "petlsparse.data.files.bundled:fashion_mnist_10k", "bundled", (1, 28, 28), 10, (7_000, 1_000, 2_000)
    ),
    "digits": Known("petlsparse.data.files.bundled:digits", "bundled", (1, 8, 8), 10, (800, 200, 797)),
    "sprites-location": Known(
        "petlsparse.data.generated.sprites:location", "generated", (1, 64, 64), 16, (800, 200, 3_000)
    ),
    "sprites-orientation": Known(
        "petlsparse.data.generated.sprites:orientation", "generated", (1, 64, 64), 16, (800, 200, 3_000)
    ),
    "shapes-count": Known("petlsparse.data.generated.shapes:count", "generated", (3, 64, 64), 8, (800, 200, 3_000)),
    "pretraining-mix": Known(
        "petlsparse.data.generated.pretraining:pretraining_mix",
        "generated",
        (3, 32, 32),
        107,
        (110_000, 4_000, 4_000),
        place="petlsparse.data.files.published:FASHION_MNIST",
    ),
    "fashion-mnist": Known(
        "petlsparse.data.files.fashion_mnist:fashion_mnist",
        "disk",
        (1, 28, 28),
        10,
        (54_000, 6_000, 10_000),
        place="petlsparse.data.files.published:FASHION_MNIST",
    ),
    "cifar10": Known(
        "petlsparse.data.files.cifar:cifar10",
        "disk",
        (3, 32, 32),
        10,
        (45_000, 5_000, 10_000),
        place="petlsparse.data.files.published:CIFAR10",
    ),
    "cifar100": Known(
        "petlsparse.data.files.cifar:cifar100",
        "disk",
        (3, 32, 32),
        100,
        (45_000, 5_000, 10_000),
        place="petlsparse.data.files.published:CIFAR100",
    ),
}
"""Data set name -> what is known of it; ``folder:NAME_OR_PATH`` comes beside these."""

AUGMENTATIONS = {
    "none": "petlsparse.data.augment:none",
    "flip": "petlsparse.data.augment:flip",
    "crop-flip": "petlsparse.data.augment:crop_flip",
}
"""Augmentation name -> function (images, generator) -> images."""

_EXPORTS = {
    "Dataset": "petlsparse.data.types",
    "Split": "petlsparse.data.types",
    "RawDataset": "petlsparse.data.types",
    "load_data": "petlsparse.data.loading",
    "normalise": "petlsparse.data.augment",
    "inventory": "petlsparse.data.available",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that ``import petlsparse.data`` stays free of torch."""
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
