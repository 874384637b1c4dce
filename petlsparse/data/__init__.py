"""Named image data sets as uint8 tensors, and the vectorised augmentations applied to them on the device.

A new data set is one function returning a :class:`~petlsparse.data.types.RawDataset` and one line in ``DATASETS``; a
new augmentation is one function and one line in ``AUGMENTATIONS``. Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

DATASETS = {
    "fashion-mnist-10k": "petlsparse.data.files.bundled:fashion_mnist_10k",
    "digits": "petlsparse.data.files.bundled:digits",
    "sprites-location": "petlsparse.data.generated.sprites:location",
    "sprites-orientation": "petlsparse.data.generated.sprites:orientation",
    "shapes-count": "petlsparse.data.generated.shapes:count",
    "pretraining-mix": "petlsparse.data.generated.pretraining:pretraining_mix",
    "fashion-mnist": "petlsparse.data.files.fashion_mnist:fashion_mnist",
    "cifar10": "petlsparse.data.files.cifar:cifar10",
    "cifar100": "petlsparse.data.files.cifar:cifar100",
}
"""Data set name -> function without arguments returning its RawDataset; ``folder:NAME_OR_PATH`` comes beside these."""

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
