"""Named image data sets as uint8 tensors, and the vectorised augmentations applied to them on the device.

A new data set is one function returning a :class:`~petlsparse.data.types.RawDataset` and one line in ``DATASETS``; a
new augmentation is one function and one line in ``AUGMENTATIONS``. Data in a format, wherever they lie, are a line in
``FAMILIES``. Nothing heavy is imported until a name is used.
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
"""Data set name -> what is known of it; ``FAMILIES`` come beside these."""


class Family(NamedTuple):
    """Data sets whose names are a prefix and a reference: a path, a name below a data root, or one of ``members``."""

    reader: str
    """The function (reference, image_size, FolderSettings) that returns a RawDataset."""
    shape: str
    """The function of the reference, and of label_column if that is among the settings, that tells channels, height,
    width and classes, and opens no image."""
    settings: tuple[str, ...]
    """The fields of FolderSettings that have a meaning there."""
    members: tuple[str, ...] = ()
    """All references there are; none where they are the user's."""


VTAB = {
    "caltech101": 102,
    "cifar": 100,
    "dtd": 47,
    "oxford_flowers102": 102,
    "oxford_iiit_pet": 37,
    "sun397": 397,
    "svhn": 10,
    "diabetic_retinopathy": 5,
    "eurosat": 10,
    "patch_camelyon": 2,
    "resisc45": 45,
    "clevr_count": 8,
    "clevr_dist": 6,
    "dmlab": 6,
    "dsprites_loc": 16,
    "dsprites_ori": 16,
    "kitti": 4,
    "smallnorb_azi": 18,
    "smallnorb_ele": 9,
}
"""Task of VTAB-1k, named as its folder -> classes; seven natural ones, four specialized, eight structured."""

TORCHVISION = {
    "places365-256": 365,
    "places365-large": 365,
    "inaturalist-2017": 5_089,
    "inaturalist-2018": 8_142,
    "inaturalist-2019": 1_010,
    "inaturalist-2021": 10_000,
}
"""Large data sets in the layouts of torchvision's classes -> classes."""

FAMILIES = {
    "folder:": Family(
        "petlsparse.data.files.folder:image_folder",
        "petlsparse.data.files.tree:shape",
        ("image_fit", "background", "val_fraction", "test_fraction"),
    ),
    "vtab:": Family(
        "petlsparse.data.files.vtab:vtab", "petlsparse.data.files.vtab:shape", ("image_fit", "background"), tuple(VTAB)
    ),
    "torchvision:": Family(
        "petlsparse.data.files.torchvision_layouts:torchvision_images",
        "petlsparse.data.files.torchvision_layouts:shape",
        ("image_fit", "background", "val_fraction", "test_fraction"),
        tuple(TORCHVISION),
    ),
    "arrays:": Family(
        "petlsparse.data.files.arrays:array_file",
        "petlsparse.data.files.arrays:shape",
        ("val_fraction", "test_fraction"),
    ),
    "parquet:": Family(
        "petlsparse.data.files.tables:parquet_images",
        "petlsparse.data.files.tables:parquet_shape",
        ("image_fit", "background", "val_fraction", "test_fraction", "image_column", "label_column"),
    ),
    "arrow:": Family(
        "petlsparse.data.files.tables:saved_images",
        "petlsparse.data.files.tables:saved_shape",
        ("image_fit", "background", "val_fraction", "test_fraction", "image_column", "label_column"),
    ),
}
"""Prefix of a data set's name -> what may follow it, and how that is read."""

NAMES = (
    *DATASETS,
    *(f"{prefix}{name}" for prefix, family in FAMILIES.items() for name in family.members or ("",)),
)
"""What a recipe may say; one that ends in ":" is followed by a reference of the user's."""

AUGMENTATIONS = {
    "none": "petlsparse.data.augment:none",
    "flip": "petlsparse.data.augment:flip",
    "crop-flip": "petlsparse.data.augment:crop_flip",
    "resized-crop-flip": "petlsparse.data.resized_crop:resized_crop_flip",
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
