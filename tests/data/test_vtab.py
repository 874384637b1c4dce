"""VTAB-1k in folders of tasks with lists: parts, labels and order are those of the lists; what is wrong is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from petlsparse.data import NAMES, VTAB, inventory, load_data
from petlsparse.data.shapes import shape_of
from petlsparse.errors import UserError
from petlsparse.recipe.schema import Data
from tests.data.formats import write_vtab_task

SIZES = {"train800": 8, "val200": 2, "test": 5}


def greys(images: torch.Tensor) -> list[int]:
    """Which image it is: an image is as bright as its number."""
    return [round(value) for value in images.float().mean((1, 2, 3)).tolist()]


@pytest.fixture
def task(data_root: Path) -> Path:
    folder = data_root / "vtab-1k/clevr_count"
    write_vtab_task(folder, SIZES, classes=8)
    return folder


def test_parts_are_those_of_the_lists_in_their_order(task: Path) -> None:
    data = load_data("vtab:clevr_count", image_size=16)
    assert (data.classes, data.train.images.shape) == (8, (8, 3, 16, 16))
    assert greys(data.train.images) == [10 * n for n in range(8)]
    assert greys(data.val.images) == [80, 90]
    assert greys(data.test().images) == [100, 110, 120, 130, 140]
    assert data.train.labels.tolist() == [(3 * n) % 8 for n in range(8)]
    assert data.val.labels.tolist() == [0, 3]
    assert data.test().labels.tolist() == [6, 1, 4, 7, 2]


def test_train_and_val_are_the_thousand_examples(task: Path) -> None:
    data = load_data("vtab:clevr_count", image_size=16, train_on="train+val")
    assert greys(data.train.images) == [10 * n for n in range(10)]
    assert len(data.val) == 0


def test_images_are_resized_directly_to_the_size_that_was_asked_for(task: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 240
    for file in (task / "images").rglob("*.jpg"):
        Image.fromarray(pixels).save(file, quality=95)
    row = load_data("vtab:clevr_count", image_size=30).train.images.float().mean((0, 1, 2))
    assert (row[2], row[15].round(), row[27]) == (0, 240, 0)  # not the middle square, which is white
    assert load_data("vtab:clevr_count").train.images.shape[-2:] == (224, 224)


def test_every_task_is_a_name_with_its_classes() -> None:
    assert len(VTAB) == 19
    assert {f"vtab:{task}" for task in VTAB} <= set(NAMES)
    assert shape_of("vtab:sun397", 64) == (3, 64, 64, 397)


def test_other_tasks_are_told_with_the_nearest(data_root: Path) -> None:
    with pytest.raises(ValueError, match="unknown name"):
        Data(name="vtab:clevr-count")
    with pytest.raises(UserError) as caught:
        load_data("vtab:clevr-count")
    assert caught.value.problems[0].nearest == "vtab:clevr_count"


def test_a_task_that_is_not_here_says_what_was_looked_for(task: Path) -> None:
    (task / "val200.txt").unlink()
    with pytest.raises(UserError, match=r"train800.txt, val200.txt, test.txt.*in vtab-1k/clevr_count"):
        load_data("vtab:clevr_count")


@pytest.mark.parametrize("line", ["images/test/000000.jpg", "images/test/000000.jpg 8", "images/test/000000.jpg -1"])
def test_a_line_that_is_none_is_told_with_its_number(task: Path, line: str) -> None:
    with (task / "test.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=r"test.txt, line 6: should be a path and a label in 0\.\.7") as caught:
        load_data("vtab:clevr_count")
    assert caught.value.problems[0].value == line


def test_images_that_a_list_names_in_vain_are_told(task: Path) -> None:
    (task / "images/test/000002.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 5 images cannot be read\n.*test/000002.jpg: No such file"):
        load_data("vtab:clevr_count", image_size=8)


def test_fractions_of_parts_are_refused(task: Path) -> None:
    with pytest.raises(UserError, match=r"data\.val_fraction: is for other data sets"):
        load_data("vtab:clevr_count", val_fraction=0.3)


def test_the_inventory_lists_tasks_and_not_their_folders(task: Path) -> None:
    write_vtab_task(task.parent / "cifar", SIZES, classes=100)
    rows = {row.name: row for row in inventory()}
    assert rows["vtab:clevr_count"].path == task
    assert (rows["vtab:cifar"].classes, rows["vtab:cifar"].shape) == (100, (3, 224, 224))
    absent = rows["vtab:TASK (17 others)"]
    assert not absent.found
    assert len(absent.how_to_supply) == 3
    assert not any(name.startswith("folder:") for name in rows)


def test_the_test_part_is_mapped_from_a_file_and_not_held(task: Path) -> None:
    data = load_data("vtab:clevr_count", image_size=64)
    mapped = Path("/proc/self/maps")
    if not mapped.is_file():
        pytest.skip("needs Linux")
    test = data.test()
    (line,) = [
        line
        for line in mapped.read_text().splitlines()
        if int(line.split("-")[0], 16) <= test.images.data_ptr() < int(line.split("-")[1].split()[0], 16)
    ]
    assert line.endswith(".pixels")
