"""What an example of a data set is, told without loading any."""

from __future__ import annotations

from typing import NamedTuple

from petlsparse.data import DATASETS, FAMILIES
from petlsparse.data.names import family_of
from petlsparse.registry import resolve


class ExampleShape(NamedTuple):
    """Of one image, and how many classes there are."""

    channels: int
    height: int
    width: int
    classes: int


def shape_of(name: str, image_size: int | None = None, label_column: str | None = None) -> ExampleShape:
    """The shape of a data set as `load_data` gives it, of images resized to `image_size` if that is given.

    Of data on disk the names of files, or what describes them, are read; what a function in a file of the user's makes
    is made. Raises UserError where that fails.
    """
    if family := family_of(name):
        prefix, reference = family
        of_tables = {"label_column": label_column} if "label_column" in FAMILIES[prefix].settings else {}
        shape = ExampleShape(*resolve({prefix: FAMILIES[prefix].shape}, prefix, "data set")(reference, **of_tables))
    elif name in DATASETS:
        shape = ExampleShape(*DATASETS[name].shape, DATASETS[name].classes)
    else:
        from petlsparse.data.loading import load_data

        data = load_data(name)
        channels, height, width = data.train.images.shape[1:]
        shape = ExampleShape(channels, height, width, data.classes)
    return shape if image_size is None else shape._replace(height=image_size, width=image_size)
