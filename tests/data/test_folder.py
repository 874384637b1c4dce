"""Any tree of class folders: splits as found or cut by class, decoded once, broken images named."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from petlsparse.data import load_data
from petlsparse.data.files import decode
from petlsparse.errors import UserError
from tests.data.formats import write_png


def colour(number: int) -> np.ndarray:
    """A plain image that can be recognised by its number after any resizing."""
    return np.full((12, 20, 3), (number % 256, number // 256, 77), np.uint8)


def write_tree(folder: Path, sizes: dict[str, int], first: int = 0) -> None:
    for name, size in sizes.items():
        for number in range(size):
            write_png(folder / name / f"{number:03}.png", colour(first + number))
        first += size


def numbers(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0].int() + 256 * images[:, 1, 0, 0].int()).tolist()


def test_class_folders_are_divided_by_class_without_loss_or_repeat(data_root: Path) -> None:
    write_tree(data_root / "pets", {"cat": 50, "dog": 100})
    data = load_data("folder:pets", image_size=8)
    test = data.test()
    assert torch.bincount(test.labels).tolist() == [10, 20]  # a fifth
    assert torch.bincount(data.val.labels).tolist() == [4, 8]  # a tenth of the other 120
    assert torch.bincount(data.train.labels).tolist() == [36, 72]
    everything = numbers(torch.cat([data.train.images, data.val.images, test.images]))
    assert sorted(everything) == list(range(150))
    assert data.train.images.shape[1:] == (3, 8, 8)
    for split in (data.train, data.val, test):  # numbers below 50 are cats
        assert [number >= 50 for number in numbers(split.images)] == split.labels.bool().tolist()


def test_parts_made_by_the_user_are_kept(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 3, "dog": 4})
    write_tree(data_root / "pets/valid", {"dog": 2}, first=100)
    write_tree(data_root / "pets/test", {"cat": 1, "dog": 1}, first=200)
    data = load_data(f"folder:{data_root / 'pets'}", image_size=8)
    assert numbers(data.train.images) == [0, 1, 2, 3, 4, 5, 6]
    assert (numbers(data.val.images), data.val.labels.tolist()) == ([100, 101], [1, 1])
    assert numbers(data.test().images) == [200, 201]


@pytest.mark.parametrize("held", ["val", "test"])
def test_a_single_held_out_part_is_for_the_report(data_root: Path, held: str) -> None:
    write_tree(data_root / "pets/train", {"cat": 20, "dog": 20})
    write_tree(data_root / "pets" / held, {"cat": 1, "dog": 1}, first=100)
    data = load_data("folder:pets", image_size=8)
    assert numbers(data.test().images) == [100, 101]
    assert sorted(numbers(data.train.images) + numbers(data.val.images)) == list(range(40))
    assert torch.bincount(data.val.labels).tolist() == [2, 2]


def test_the_middle_is_cut_out_without_distortion(data_root: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255  # the middle third is the square that remains
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write_png(data_root / "wide" / f"{name}.png", pixels)
    assert load_data("folder:wide", image_size=10).train.images.min() == 255


@pytest.fixture
def decoded_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The files that were opened as images."""
    opened: list[Path] = []
    real = decode.Image.open

    def spy(file: Path) -> object:
        opened.append(file)
        return real(file)

    monkeypatch.setattr(decode.Image, "open", spy)
    return opened


def test_images_are_decoded_once_per_size_and_content(data_root: Path, decoded_files: list[Path]) -> None:
    write_tree(data_root / "pets", {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    assert len(decoded_files) == 20
    again = load_data("folder:pets", image_size=8)
    assert len(decoded_files) == 20
    assert torch.equal(first.train.images, again.train.images)
    load_data("folder:pets", image_size=9)
    assert len(decoded_files) == 40
    changed = decoded_files[0]
    write_png(changed, colour(999))
    os.utime(changed, (1, 1))
    assert 999 in numbers(load_data("folder:pets", image_size=8).train.images)


def test_a_damaged_cache_is_made_again(data_root: Path, tmp_path: Path) -> None:
    write_tree(data_root / "pets", {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    for file in (tmp_path / "cache").rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert load_data("folder:pets", image_size=8).fingerprint == first.fingerprint


def test_all_broken_images_are_named_at_once(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 5, "dog": 5})
    write_tree(data_root / "pets/test", {"cat": 1, "dog": 1})
    broken = [data_root / "pets/train/cat" / name for name in ("empty.png", "text.jpg", "cut.png")]
    broken[0].touch()
    broken[1].write_text("not an image")
    broken[2].write_bytes((data_root / "pets/train/cat/001.png").read_bytes()[:60])
    with pytest.raises(UserError, match="3 of") as caught:
        load_data("folder:pets", image_size=8)
    assert all(str(file) in str(caught.value) for file in broken)


def test_a_broken_test_image_is_told_before_training(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 20, "dog": 20})
    write_tree(data_root / "pets/test", {"cat": 1, "dog": 1})
    (data_root / "pets/test/cat/cut.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"1 of 3 images cannot be read\n.*test/cat/cut\.png"):
        load_data("folder:pets", image_size=8)


def test_a_test_folder_without_class_folders_is_told_before_training(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 20, "dog": 20})
    write_png(data_root / "pets/test/0.png", colour(1))
    with pytest.raises(UserError, match="the test part: has no images"):
        load_data("folder:pets", image_size=8)


def test_the_fingerprint_of_the_test_part_follows_its_content_alone(data_root: Path) -> None:
    for name, first in (("one", 100), ("twin", 100), ("other", 102)):
        write_tree(data_root / name / "train", {"cat": 20, "dog": 20})
        write_tree(data_root / name / "test", {"cat": 1, "dog": 1}, first=first)
    one, twin, other = (load_data(f"folder:{name}", image_size=8) for name in ("one", "twin", "other"))
    assert one.test_fingerprint == twin.test_fingerprint != other.test_fingerprint
    assert one.fingerprint == twin.fingerprint == other.fingerprint


def test_other_trees_are_refused(data_root: Path) -> None:
    with pytest.raises(UserError, match="PETLSPARSE_DATA"):
        load_data("folder:nowhere")
    write_tree(data_root / "one", {"cat": 2})
    with pytest.raises(UserError, match="two or more class folders"):
        load_data("folder:one")
    write_tree(data_root / "pets/train", {"cat": 2, "dog": 2})
    write_tree(data_root / "pets/test", {"cow": 2})
    with pytest.raises(UserError, match="cow"):
        load_data("folder:pets")
