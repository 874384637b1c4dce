"""What is told of a data set without loading it is what loading it gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petlsparse.data import DATASETS, load_data
from petlsparse.data.shapes import ExampleShape, shape_of

HERE = ("fashion-mnist-10k", "digits", "sprites-location", "sprites-orientation", "shapes-count")


def loaded(name: str, image_size: int | None) -> ExampleShape:
    data = load_data(name, image_size=image_size)
    channels, height, width = data.train.images.shape[1:]
    return ExampleShape(channels, height, width, data.classes)


@pytest.mark.parametrize("image_size", [None, 12])
@pytest.mark.parametrize("name", HERE)
def test_the_shape_of_a_data_set_is_that_of_its_images(name: str, image_size: int | None) -> None:
    assert shape_of(name, image_size) == loaded(name, image_size)


def test_the_shapes_of_data_that_are_not_here_are_those_of_their_publications() -> None:
    assert {name: tuple(shape_of(name)) for name in DATASETS if name not in HERE} == {
        "pretraining-mix": (3, 32, 32, 107),
        "fashion-mnist": (1, 28, 28, 10),
        "cifar10": (3, 32, 32, 10),
        "cifar100": (3, 32, 32, 100),
    }


@pytest.mark.parametrize("image_size", [None, 9])
def test_the_shape_of_a_folder_is_told_by_its_names(tmp_path: Path, image_size: int | None) -> None:
    for label in ("ant", "bee", "cow"):
        (tmp_path / label).mkdir()
        for i in range(4):
            pixels = np.full((5, 7), 60 * i, dtype=np.uint8)
            pixels[0, i] = 255
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    name = f"folder:{tmp_path}"
    assert shape_of(name, image_size) == loaded(name, image_size)


def test_neither_a_shape_nor_a_cohort_key_needs_torch() -> None:
    script = (
        "import sys; from petlsparse.cohorts.keys import cohort_key; from petlsparse.recipe import load_recipe;"
        "from petlsparse.recipe.execution import Execution;"
        "runs = load_recipe('dst-smoke').runs;"
        "[cohort_key(run, 'cpu', Execution(cohort='auto')) for run in runs];"
        "print([m for m in ('torch', 'numpy', 'timm', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
