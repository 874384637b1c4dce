"""Places365 and iNaturalist as torchvision's classes have them: what those read, with the parts that were published.

The lists and folders of the true sets name hundreds of classes; here the numbers of classes are made small.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petlsparse.data import TORCHVISION, inventory, load_data
from petlsparse.errors import UserError


def write(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(path, "png")


@pytest.fixture(autouse=True)
def few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHVISION:
        monkeypatch.setitem(TORCHVISION, name, 3)


@pytest.fixture
def places(data_root: Path) -> Path:
    names = ["/a/airfield", "/a/alley/dark", "/b/bay"]
    (data_root / "categories_places365.txt").write_text("".join(f"{name} {n}\n" for n, name in enumerate(names)))
    train, val = [], []
    for number in range(30):
        file = f"{names[number % 3]}/{number:08}.jpg"
        train.append(f"{file} {number % 3}\n")
        write(data_root / f"data_256_standard{file}", number)
    for number in range(4):
        file = f"Places365_val_{number:08}.jpg"
        val.append(f"{file} {2 - number % 3}\n")
        write(data_root / "val_256" / file, 100 + number)
    (data_root / "places365_train_standard.txt").write_text("".join(train))
    (data_root / "places365_val.txt").write_text("".join(val))
    return data_root


def test_what_places365_validates_on_is_tested_on(places: Path) -> None:
    data = load_data("torchvision:places365-256", image_size=4)
    assert (len(data.train), len(data.val)) == (27, 3)
    for part in (data.train, data.val):
        assert part.labels.tolist() == [n % 3 for n in part.images[:, 0, 0, 0].tolist()]
    test = data.test()
    assert (test.images[:, 0, 0, 0].tolist(), test.labels.tolist()) == ([100, 101, 102, 103], [2, 1, 0, 2])
    assert data.description is not None
    assert data.description.class_names == ("/a/airfield", "/a/alley/dark", "/b/bay")


def test_it_reads_what_torchvision_reads(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pytest.importorskip("torchvision.datasets").Places365
    monkeypatch.setattr(theirs, "_check_integrity", lambda *_: True)
    for split, part in (("train-standard", "train"), ("val", "test")):
        read = theirs(places, split, small=True)
        data = load_data("torchvision:places365-256", image_size=4, val_fraction=0.01)
        mine = data.train if part == "train" else data.test()
        held = data.val.images[:, 0, 0, 0].tolist() if part == "train" else []
        expected = [(image.getpixel((0, 0))[0], label) for image, label in read]
        found = zip(mine.images[:, 0, 0, 0].tolist(), mine.labels.tolist(), strict=True)
        assert list(found) == [each for each in expected if each[0] not in held]


def test_inaturalist_is_divided_by_the_lists_that_were_published(data_root: Path) -> None:
    folders = ["Aves/10", "Aves/2", "Plantae/0"]  # class numbers are those of their order as numbers: 0, 2, 10
    for number in range(30):
        write(data_root / f"2018/{folders[number % 3]}/{number:02}.jpg", number)
    alone = load_data("torchvision:inaturalist-2018", image_size=4)
    assert [len(alone.train), len(alone.val), alone.test_examples] == [22, 2, 6]
    for file, numbers in (("train2018.json", range(24)), ("val2018.json", range(24, 30))):
        images = [{"id": n, "file_name": f"train_val2018/{folders[n % 3]}/{n:02}.jpg"} for n in numbers]
        (data_root / file).write_text(json.dumps({"images": images, "annotations": []}))
    data = load_data("torchvision:inaturalist-2018", image_size=4)
    test = data.test()
    assert test.images[:, 0, 0, 0].tolist() == [24, 25, 26, 27, 28, 29]
    assert test.labels.tolist() == [2, 1, 0, 2, 1, 0]
    assert len(data.train) + len(data.val) == 24
    (data_root / "val2018.json").write_text('{"images": [{"file_name": "train_val2018/Aves/7/x.jpg"}]}')
    with pytest.raises(UserError, match=r"val2018.json: is no list of the images in .*2018"):
        load_data("torchvision:inaturalist-2018", image_size=4)


def test_the_two_trees_of_2021_are_the_parts(data_root: Path) -> None:
    for number in range(30):
        write(data_root / f"2021_train/{number % 3:05}_Animalia_species{number % 3}/{number:02}.jpg", number)
    for number in range(3):
        write(data_root / f"2021_valid/{number:05}_Animalia_species{number}/x.jpg", 100 + number)
    data = load_data("torchvision:inaturalist-2021", image_size=4)
    assert (len(data.train), len(data.val)) == (27, 3)
    assert data.test().images[:, 0, 0, 0].tolist() == [100, 101, 102]
    assert "torchvision:inaturalist-2021" in {row.name for row in inventory() if row.found}
    (data_root / "2021_valid/00001_Animalia_species1/x.jpg").unlink()
    (data_root / "2021_valid/00001_Animalia_species1").rmdir()
    with pytest.raises(UserError, match="2021_valid: should hold 3 class folders, not 2"):
        load_data("torchvision:inaturalist-2021", image_size=4)


def test_what_is_not_here_says_what_was_looked_for(places: Path) -> None:
    with pytest.raises(UserError, match="data_large_standard, val_large"):
        load_data("torchvision:places365-large")
    with pytest.raises(UserError) as caught:
        load_data("torchvision:places-256")
    assert caught.value.problems[0].nearest == "torchvision:places365-256"
    names = {row.name: row.found for row in inventory()}
    assert names["torchvision:places365-256"]
    assert not any(name.startswith("folder:") for name in names)
