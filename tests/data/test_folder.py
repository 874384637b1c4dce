"""Any tree of class folders: splits as found or cut by class, decoded once, broken images named."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from petlsparse.data import load_data
from petlsparse.data.files import decode
from petlsparse.data.files.missing_parts import separate
from petlsparse.data.files.tree import Part
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
    assert (data.mean, data.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
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


@pytest.mark.parametrize("fit", ["resize", "crop"])
def test_images_that_are_no_squares_are_resized_or_their_middle_is_cut_out(data_root: Path, fit: str) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255  # the middle third is the square that remains
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write_png(data_root / "wide" / f"{name}.png", pixels)
    images = load_data("folder:wide", image_size=10, image_fit=fit).train.images
    columns = images.float().mean((0, 1, 2)).round().tolist()
    if fit == "crop":
        assert columns == [255] * 10
    else:  # a third of each row is white; the middle is free from bicubic overshoot
        assert (columns[0], columns[4], columns[5], columns[9]) == (0, 255, 255, 0)


def test_squares_do_not_depend_on_the_fit(data_root: Path) -> None:
    rng = np.random.default_rng(3)
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write_png(data_root / "square" / f"{name}.png", rng.integers(0, 256, (37, 37, 3), dtype=np.uint8))
    one, other = (load_data("folder:square", image_size=10, image_fit=fit) for fit in ("resize", "crop"))
    assert one.fingerprint == other.fingerprint


def test_transparency_shows_the_background_that_is_asked_for(data_root: Path) -> None:
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write_png(data_root / "clear" / f"{name}.png", np.zeros((4, 4, 4), np.uint8))
    for background, value in (("white", 255), ("black", 0), ("white", 255)):  # cached pixels are those of the setting
        assert set(load_data("folder:clear", image_size=4, background=background).train.images.unique().tolist()) == {
            value
        }


@pytest.mark.parametrize(
    ("fractions", "counts"),
    [
        ({}, (144, 16, 40)),
        ({"val_fraction": 0.25}, (120, 40, 40)),
        ({"test_fraction": 0.5, "val_fraction": 0.5}, (50, 50, 100)),
        ({"test_fraction": 0.001, "val_fraction": 0.001}, (198, 1, 1)),
    ],
)
def test_a_plain_folder_is_divided_as_asked(
    data_root: Path, fractions: dict[str, float], counts: tuple[int, ...]
) -> None:
    write_tree(data_root / "pets", {"cat": 100, "dog": 100})
    data = load_data("folder:pets", image_size=4, **fractions)
    assert (len(data.train), len(data.val), data.test_examples) == counts
    assert len(data.test()) == counts[2]
    assert data.description is not None
    assert {part: sum(numbers) for part, numbers in data.description.counts.items()} == dict(
        zip(("train", "val", "test"), counts, strict=True)
    )


@pytest.mark.parametrize("count", range(12, 400, 13))
def test_the_default_fractions_divide_as_a_fifth_and_a_tenth_did(count: int) -> None:
    part = Part(tuple(Path(str(number)) for number in range(count)), tuple(number % 2 for number in range(count)))
    rest, test = separate(part, 0.2, "folder/test")
    assert len(test.files) == round(count / 5)
    assert len(separate(rest, 0.1, "folder/val")[1].files) == round(len(rest.files) / 10)


def test_a_fraction_of_a_part_that_is_there_is_refused(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 20, "dog": 20})
    write_tree(data_root / "pets/test", {"cat": 1, "dog": 1}, first=100)
    with pytest.raises(UserError, match=r"data\.test_fraction: there is a test part of its own, test/"):
        load_data("folder:pets", image_size=8, test_fraction=0.3)


def test_settings_of_folders_are_refused_elsewhere() -> None:
    with pytest.raises(UserError) as caught:
        load_data("digits", background="black", val_fraction=0.3)
    assert [problem.where for problem in caught.value.problems] == ["data.background", "data.val_fraction"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many images were opened, as the length of a list."""
    opened: list[int] = []
    real = decode.Image.open

    def spy(file: BytesIO) -> object:
        opened.append(len(opened))
        return real(file)

    monkeypatch.setattr(decode.Image, "open", spy)
    return opened


def test_images_are_decoded_once_per_manner(data_root: Path, opened: list[int]) -> None:
    write_tree(data_root / "pets", {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    assert len(opened) == 20
    again = load_data("folder:pets", image_size=8)
    again.test()
    assert len(opened) == 20
    assert torch.equal(first.train.images, again.train.images)
    assert again.description == first.description
    for other in ({"image_size": 9}, {"image_fit": "crop"}, {"background": "black"}):
        before = len(opened)
        load_data("folder:pets", **({"image_size": 8} | other))
        assert len(opened) == before + 20


def test_equal_content_elsewhere_is_not_decoded_again(data_root: Path, opened: list[int]) -> None:
    for name in ("pets", "twin"):
        write_tree(data_root / name, {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    twin = load_data("folder:twin", image_size=8)
    assert len(opened) == 20
    assert (twin.fingerprint, twin.test_fingerprint) == (first.fingerprint, first.test_fingerprint)


def test_an_image_changed_in_place_is_seen_though_length_and_time_stay(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 10, "dog": 10})
    write_tree(data_root / "pets/test", {"cat": 1, "dog": 1})
    file = data_root / "pets/train/cat/003.bmp"
    for shade in (10, 20):
        Image.new("RGB", (8, 8), (shade,) * 3).save(file)
        os.utime(file, (1, 1))
        images = load_data("folder:pets", image_size=8, train_on="train+val").train.images
        assert {10, 20} & set(images[:, 2, 0, 0].tolist()) == {shade}


def test_images_are_held_in_memory_where_the_cache_cannot_be_written(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(data_root / "pets", {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "file" / "cache"))
    again = load_data("folder:pets", image_size=8)
    assert (again.fingerprint, again.test_fingerprint) == (first.fingerprint, first.test_fingerprint)
    assert torch.equal(again.test().images, first.test().images)


def test_a_damaged_cache_is_made_again(data_root: Path, tmp_path: Path) -> None:
    write_tree(data_root / "pets", {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    for file in (tmp_path / "cache").rglob("*.pixels"):
        file.write_bytes(b"damaged")
    assert load_data("folder:pets", image_size=8).fingerprint == first.fingerprint


@pytest.mark.parametrize("place", [0.02, 0.1, 0.5, 0.999])  # in the length of the table of contents, statistics, pixels
def test_a_flipped_byte_in_the_cache_is_noticed(
    data_root: Path, tmp_path: Path, opened: list[int], place: float
) -> None:
    write_tree(data_root / "pets", {"cat": 10, "dog": 10})
    first = load_data("folder:pets", image_size=8)
    for file in (tmp_path / "cache").rglob("*.pixels"):
        content = file.read_bytes()
        index = int(place * len(content))
        file.write_bytes(content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :])
    for decoded_so_far in (40, 40):  # all again, and then none
        again = load_data("folder:pets", image_size=8)
        assert (again.fingerprint, again.test_fingerprint) == (first.fingerprint, first.test_fingerprint)
        assert again.description == first.description
        assert len(opened) == decoded_so_far


def test_all_broken_images_are_named_at_once(data_root: Path) -> None:
    write_tree(data_root / "pets/train", {"cat": 5, "dog": 5})
    write_tree(data_root / "pets/test", {"cat": 1, "dog": 1})
    broken = [data_root / "pets/train/cat" / name for name in ("empty.png", "text.jpg", "cut.png")]
    broken[0].touch()
    broken[1].write_text("not an image")
    broken[2].write_bytes((data_root / "pets/train/cat/001.png").read_bytes()[:60])
    with pytest.raises(UserError) as caught:
        load_data("folder:pets", image_size=8)
    assert str(caught.value).count(" images cannot be read\n") == 2  # of train and of val, cut out of it
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
    with pytest.raises(UserError, match="test: has no class folder with images in it"):
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


def test_names_that_are_not_utf8_are_read_cached_and_told(data_root: Path) -> None:
    folder = data_root / "pets/train" / os.fsdecode(b"caf\xe9")
    write_tree(data_root / "pets/train", {"dog": 20})
    write_tree(data_root / "pets/test", {"dog": 2})
    write_tree(folder.parent, {folder.name: 20}, first=100)
    (folder / "000.png").rename(folder / os.fsdecode(b"\xff.png"))
    for _ in range(2):  # decoded, then from the cache
        about = load_data("folder:pets", image_size=8).description
        assert about is not None
        assert about.class_names == (r"caf\xe9", "dog")
        assert r"train/caf\xe9/\xff.png" in about.constant
        assert r"the test part has no image of 1 of 2 classes: caf\xe9" in about.remarks()
    (folder / os.fsdecode(b"\xfe.png")).touch()
    with pytest.raises(UserError, match=r"caf\\xe9/\\xfe\.png: no image that Pillow knows"):
        load_data("folder:pets", image_size=8)


def test_a_tree_says_what_was_taken_for_what(data_root: Path) -> None:
    write_tree(data_root / "pets/Training", {"cat": 20, "dog": 20})
    write_tree(data_root / "pets/Valid", {"cat": 1, "dog": 3}, first=100)
    about = load_data("folder:pets", image_size=8).description
    assert about is not None
    assert about.made == {
        "train": "Training/",
        "val": "10 % of the images of Training/, class by class (data.val_fraction)",
        "test": "Valid/, as there is no other part to report on",
    }
    assert about.counts == {"train": (18, 18), "val": (2, 2), "test": (1, 3)}
    assert about.sizes == {"20×12": 44}
    assert about.modes == {"RGB": 44}
    assert len(about.constant) == 44


def test_classes_that_the_cut_parts_lack_are_told(data_root: Path) -> None:
    write_tree(data_root / "few", {f"class{number}": 2 for number in range(10)})
    about = load_data("folder:few", image_size=8).description
    assert about is not None
    lacking = [text for text in about.remarks() if "has no image" in text]
    assert [text.partition(" classes")[0] for text in lacking] == [
        "the val part has no image of 8 of 10",
        "the test part has no image of 6 of 10",
    ]


@pytest.fixture
def pets(data_root: Path) -> Path:
    """Three parts with twenty, one and one images of each class, all of them different."""
    for part, size, first in (("train", 20, 0), ("val", 1, 100), ("test", 1, 200)):
        write_tree(data_root / "pets" / part, dict.fromkeys(("cat", "cow", "dog"), size), first=first)
    return data_root / "pets"


def remarks_on(name: str) -> list[str]:
    """What is said of images that stand in several places: decoded, and the same from the cache."""
    for _ in range(2):
        about = load_data(name, image_size=8).description
        assert about is not None
        told = [text.replace(", byte for byte", "") for text in about.oddities() if "byte for byte" in text]
    return told


def test_an_image_of_several_classes_is_told_whether_linked_or_copied(pets: Path) -> None:
    train = pets / "train"
    assert remarks_on("folder:pets") == []
    (train / "cow/linked.png").symlink_to(train / "cat/003.png")
    (train / "dog/again.png").symlink_to(train / "cow/linked.png")
    (train / "cat/twice.png").symlink_to(train / "cat/004.png")  # of one class: what it shows is no question
    assert remarks_on("folder:pets") == [
        "1 image stands in two classes or more: train/cat/003.png (cat, cow, dog)",
    ]
    os.link(train / "cow/005.png", train / "dog/hard.png")
    (train / "dog/copied.png").write_bytes((train / "cat/007.png").read_bytes())
    (train / "dog/more").symlink_to(train / "cow")  # the folder's 21 images, of which two are counted already
    (told,) = remarks_on("folder:pets")
    assert told == (
        "22 images stand in two classes or more: train/cat/003.png (cat, cow, dog), train/cat/007.png (cat, dog), "
        "train/cow/000.png (cow, dog) and 19 more"
    )


def test_an_image_of_several_parts_is_told_first_and_first_of_these_what_is_tested(pets: Path) -> None:
    (pets / "val/cat/seen.png").symlink_to(pets / "train/cat/000.png")
    (pets / "test/cow/copied.png").write_bytes((pets / "train/cow/001.png").read_bytes())
    os.link(pets / "val/dog/000.png", pets / "test/cow/hard.png")
    of_parts, of_classes = remarks_on("folder:pets")
    assert of_parts == (
        "3 images stand in two parts or more: train/cow/001.png (train, test), val/dog/000.png (val, test), "
        "train/cat/000.png (train, val)"
    )
    assert of_classes == "1 image stands in two classes or more: val/dog/000.png (dog, cow)"


def test_copies_that_drawing_the_parts_has_parted_are_told(data_root: Path) -> None:
    write_tree(data_root / "pets", {"cat": 20, "dog": 20})
    for number in range(20):
        (data_root / f"pets/cat/copy{number:03}.png").symlink_to(data_root / f"pets/cat/{number:03}.png")
    data = load_data("folder:pets", image_size=8)
    parts = {"train": data.train, "val": data.val, "test": data.test()}
    cats = {part: {n for n in numbers(split.images) if n < 20} for part, split in parts.items()}
    expected = {n: tuple(part for part in parts if n in cats[part]) for n in range(20)}
    assert data.description is not None
    told = {
        int(Path(name).stem.removeprefix("copy")): found for name, found in data.description.in_several_parts.items()
    }
    assert told == {n: found for n, found in expected.items() if len(found) > 1} != {}
    assert data.description.in_several_classes == {}
