"""What an example of a data set is, told without loading any."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from petlsparse.data import DATASETS
from petlsparse.data.files.tree import FOLDER_PREFIX, locate, scan

FOLDER_SIZE = 224
"""Side of a folder's images, unless another one is asked for."""


class ExampleShape(NamedTuple):
    """Of one image, and how many classes there are."""

    channels: int
    height: int
    width: int
    classes: int


def shape_of(name: str, image_size: int | None = None) -> ExampleShape:
    """The shape of a data set as `load_data` gives it, of images resized to `image_size` if that is given.

    Of a folder the names of its files are read, what a function in a file of the user's makes is made. Raises UserError
    where that fails.
    """
    if name.startswith(FOLDER_PREFIX):
        folder = locate(name.removeprefix(FOLDER_PREFIX)).absolute()
        shape = ExampleShape(3, FOLDER_SIZE, FOLDER_SIZE, _classes(folder))
    elif name in DATASETS:
        shape = ExampleShape(*DATASETS[name].shape, DATASETS[name].classes)
    else:
        from petlsparse.data.loading import load_data

        data = load_data(name)
        channels, height, width = data.train.images.shape[1:]
        shape = ExampleShape(channels, height, width, data.classes)
    return shape if image_size is None else shape._replace(height=image_size, width=image_size)


@lru_cache(maxsize=8)
def _classes(folder: Path) -> int:
    return len(scan(folder).classes)
