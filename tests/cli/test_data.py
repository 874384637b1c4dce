"""What is told of data sets: by `data`, and wherever a recipe's data are looked at."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petlsparse._cli import _console
from petlsparse.data import load_data
from petlsparse.data.types import FolderSettings
from petlsparse.recipe.reference import attribute_docstrings
from petlsparse.recipe.schema import Data
from tests.data.formats import write_png

from .conftest import Cli


def test_data_sets_are_listed(cli: Cli) -> None:
    rows = {row["name"]: row for row in json.loads(cli("data", "ls", "--json").out)}
    assert rows["digits"]["found"] is True
    assert "digits" in cli("data", "ls").out


def test_a_data_set_is_shown_with_its_parts_classes_and_oddities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for label, name in enumerate(("cat", "dog")):
        for number in range(20):
            write_png(tmp_path / "pets" / name / f"{number}.png", np.full((4, 6, 3), 20 * label + number, np.uint8))
    (tmp_path / "pets/dog/notes.txt").touch()
    told = json.loads(cli("data", "show", f"folder:{tmp_path / 'pets'}", "--json").out)
    assert told["counts"] == {"train": [14, 15], "val": [2, 1], "test": [4, 4]}
    assert (told["sizes"], told["modes"], told["class_names"]) == ({"6×4": 40}, {"RGB": 40}, ["cat", "dog"])
    assert told["skipped"] == {"not read as images: .txt": ["dog/notes.txt"]}
    assert len(told["constant"]) == 40
    assert told["validation_standard_error"] == pytest.approx(100 * (0.25 / 3) ** 0.5)
    monkeypatch.setattr(_console.out, "width", 80)
    answer = cli("data", "show", f"folder:{tmp_path / 'pets'}")
    assert "29 training, 3 validation and 8 test images" in " ".join(answer.out.split())
    assert "20 % of all images, class by class (data.test_fraction)" in answer.out
    assert "1 skipped, not read as images: .txt: dog/notes.txt" in answer.out
    assert "3 validation images are few to choose by" in answer.err
    assert "40 constant images" in answer.err
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    assert json.loads(cli("data", "show", "digits", "--json").out)["sizes"] == {"8×8": 1797}


def test_a_folder_is_shown_as_a_recipe_with_these_settings_would_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(40):
        pixels = np.zeros((4, 6, 4), np.uint8)
        pixels[0, 0] = (number, number, number, 255)
        write_png(tmp_path / f"pets/{('cat', 'dog')[number % 2]}/{number:02}.png", pixels)
    settings: dict[str, Any] = {
        "image_size": 6, "image_fit": "crop", "background": "black", "val_fraction": 0.4, "test_fraction": 0.5,
    }  # fmt: skip
    name = f"folder:{tmp_path / 'pets'}"
    flags = [text for key, value in settings.items() for text in (f"--{key.replace('_', '-')}", value)]
    told = json.loads(cli("data", "show", name, *flags, "--json").out)
    assert told["counts"] == {"train": [6, 6], "val": [4, 4], "test": [10, 10]}  # half of 40, 40 % of 20
    assert list(told["done"]) == ["transparency laid over black"]
    data = load_data(name, **settings)
    assert (told["fingerprint"], told["test_fingerprint"]) == (data.fingerprint, data.test_fingerprint)
    assert told["fingerprint"] != json.loads(cli("data", "show", name, "--image-size", 6, "--json").out)["fingerprint"]


def test_every_setting_of_folders_has_its_flag_with_meaning_and_default(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_console.out, "width", 200)
    text = cli("data", "show", "--help").out
    meanings = attribute_docstrings(Data)
    for field in ("image_size", *(field.name for field in fields(FolderSettings))):
        flag = f"  --{field.replace('_', '-')} "
        (line,) = [line for line in text.splitlines() if line.startswith(flag)]
        assert meanings[field] in line
        default = Data.model_fields[field].default
        assert default is None or line.rstrip().endswith(f"[default: {default}]")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--val-fraction", "1", "should be less than 1"),
        ("--test-fraction", "nan", "finite number"),
        ("--image-fit", "crob", "valid: resize, crop"),
        ("--background", "blue", 'should be "white", "black" or "#rrggbb"'),
        ("--image-size", "0", "greater than or equal to 1"),
        ("--background", "black", "is for other data sets, such as folders of images"),
    ],
)
def test_a_setting_that_is_none_is_told_by_its_flag(flag: str, value: str, message: str, cli: Cli) -> None:
    answer = cli("data", "show", "digits", flag, value)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {flag}: ")
    assert message in answer.err


def test_images_that_stand_in_several_parts_and_classes_are_told_wherever_data_are(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pets = tmp_path / "pets"
    for number in range(24):
        pixels = np.full((4, 4, 3), number, np.uint8)
        part = "test" if number < 4 else "val" if number < 8 else "train"
        write_png(pets / f"{part}/{('cat', 'dog')[number % 2]}/{number}.png", pixels)
    (pets / "test/cat/seen.png").symlink_to(pets / "train/cat/8.png")
    (pets / "train/dog/both.png").symlink_to(pets / "train/cat/8.png")
    sets = (f"data.name=folder:{pets}", "data.train_examples=10", "data.image_size=4", "training.batch_size=5")
    shown = cli("data", "show", f"folder:{pets}").err
    planned = cli("plan", recipe, *(part for text in sets for part in ("--set", text))).out
    for told in (shown, planned):
        assert "1 image stands in two parts or more, byte for byte: train/cat/8.png (train, test)" in told
        assert "1 image stands in two classes or more, byte for byte: train/cat/8.png (cat, dog)" in told


def test_a_plan_says_how_many_images_each_part_has_and_what_is_odd(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(20):
        pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) + np.uint8(number)
        write_png(tmp_path / f"pets/{('cat', 'dog')[number % 2]}/{number}.png", pixels)
    assert "digits: 100 training, 200 validation and 797 test images, 10 classes" in cli("plan", recipe).out
    name = f"folder:{tmp_path / 'pets'}"
    sets = [f"data.name={name}", "data.train_examples=10", "data.image_size=4", "training.batch_size=5"]
    choices = [part for text in sets for part in ("--set", text)]
    plan = cli("plan", recipe, *choices)
    assert f"{name}: 10 training, 2 validation and 4 test images, 2 classes" in plan.out
    doubt = f"{name}: 2 validation images are few to choose by: the standard error of their accuracy is up to 35.4"
    assert doubt in plan.out  # 50 / sqrt(2)
    answer = cli("dst-sweep", recipe, *choices, "--limit", 0, "--out", tmp_path / "out")
    assert doubt in answer.err
