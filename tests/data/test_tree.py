"""Folder trees: what is taken for what, what is passed over, and what is refused because it could be two things."""

import os
from pathlib import Path

import pytest

from petlsparse.data.files.tree import scan
from petlsparse.errors import UserError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def files(root: Path, part: str) -> list[str]:
    return [str(file.relative_to(root)) for file in scan(root).parts[part].files]


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING", "training"])
@pytest.mark.parametrize("val", ["val", "Valid", "validation", "dev"])
@pytest.mark.parametrize("test", ["test", "Testing", "TEST"])
def test_common_names_of_parts_are_known_in_any_case(tmp_path: Path, train: str, val: str, test: str) -> None:
    names = {"train": train, "val": val, "test": test}
    tree = scan(touch(tmp_path, *(f"{name}/{label}/0.png" for name in names.values() for label in ("cat", "dog"))))
    assert {part: folder.name for part, folder in tree.folders.items()} == names
    assert tree.classes == ("cat", "dog")
    assert {part: [file.parent.parent.name for file in found.files] for part, found in tree.parts.items()} == {
        part: [name, name] for part, name in names.items()
    }


def test_hidden_files_and_folders_are_passed_over_at_every_level(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/0.png", "train/dog/0.png", "train/cat/deep/1.png", "test/cat/0.png")
    clutter = (
        ".cache/x/0.png", ".ipynb_checkpoints/0.png", "__MACOSX/train/cat/0.png", "train/.ipynb_checkpoints/0.png",
        "train/__MACOSX/cat/0.png", "train/cat/._0.png", "train/cat/.thumbs/0.png", "train/@eaDir/0.png",
        "train/cat/@eaDir/0.png/thumb.jpg", "test/.DS_Store/0.png",
    )  # fmt: skip
    tree = scan(touch(tmp_path, *clutter))
    assert tree.classes == ("cat", "dog")
    assert files(tmp_path, "train") == ["train/cat/0.png", "train/cat/deep/1.png", "train/dog/0.png"]
    hidden = {str(path.relative_to(tmp_path)) for path, why in tree.skipped if why == "hidden"}
    assert hidden == {
        ".cache", ".ipynb_checkpoints", "__MACOSX", "train/.ipynb_checkpoints", "train/__MACOSX", "train/cat/._0.png",
        "train/cat/.thumbs", "train/@eaDir", "train/cat/@eaDir", "test/.DS_Store",
    }  # fmt: skip


def test_links_are_followed_and_circles_come_to_an_end(tmp_path: Path) -> None:
    store = touch(tmp_path / "store", "a/0.png", "b/1.jfif")
    root = touch(tmp_path / "pets", "dog/0.JPG")
    (root / "cat").mkdir()
    (root / "cat/some").symlink_to(store / "a")
    (root / "cat/more").symlink_to(store / "b")
    (root / "cat/again").symlink_to(root / "cat")
    (root / "cow").symlink_to(store / "b")
    (root / "dog/1.png").symlink_to(store / "a/0.png")
    (root / "dog/gone.png").symlink_to(store / "nowhere.png")
    assert files(root, "all") == ["cat/more/1.jfif", "cat/some/0.png", "cow/1.jfif", "dog/0.JPG", "dog/1.png"]
    assert [(path.name, why) for path, why in scan(root).skipped] == [("gone.png", "a link to nothing")]


def test_what_is_no_image_is_told_by_suffix_and_place(tmp_path: Path) -> None:
    touch(tmp_path, "README", "loose.png", "cat/0.png", "cat/notes.TXT", "dog/0.png", "heic/0.heic", "empty/deep/x.csv")
    told = {str(path.relative_to(tmp_path)): why for path, why in scan(tmp_path).skipped}
    assert told == {
        "README": "not read as images: no suffix",
        "loose.png": "outside the class folders",
        "cat/notes.TXT": "not read as images: .txt",
        "heic/0.heic": "not read as images: .heic",
        "heic": "a folder without images",
        "empty/deep/x.csv": "not read as images: .csv",
        "empty": "a folder without images",
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train", "val", "valid"], "val/ and valid/ could both be the val part"),
        (["Train", "train"], "Train/ and train/ could both be the train part"),
        (["train", "training", "test"], "train/ and training/ could both"),
        (["Testing", "train", "test"], "Testing/ and test/ could both be the test part"),
        (["train", "extra"], "train/ could be parts or classes beside extra/"),
        (["train", "test", "birds", "fish"], "test/, train/ could be parts or classes beside birds/, fish/"),
        (["val", "test"], "test/, val/ without a training part"),
        (["test"], "test/ without a training part"),
    ],
)
def test_what_could_be_two_things_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *(f"{name}/{label}/0.png" for name in names for label in ("cat", "dog")))
    with pytest.raises(UserError, match=f"^{tmp_path}: {message}"):
        scan(tmp_path)


def test_a_folder_named_like_a_part_is_a_class_among_classes_of_loose_images(tmp_path: Path) -> None:
    tree = scan(touch(tmp_path, "bus/0.png", "car/0.png", "train/0.png"))
    assert tree.classes == ("bus", "car", "train")


def test_loose_images_in_parts_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/0.png", "test/0.png", "docs/a.txt")
    with pytest.raises(UserError, match="two or more class folders"):
        scan(tmp_path)


def test_a_folder_without_images_beside_parts_is_told(tmp_path: Path) -> None:
    tree = scan(touch(tmp_path, "train/cat/0.png", "train/dog/0.png", "docs/a.txt", "labels.csv"))
    told = {path.name: why for path, why in tree.skipped}
    assert told["docs"] == "neither part nor class"
    assert told["labels.csv"] == "not read as images: .csv"


def test_classes_that_only_a_later_part_has_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/0.png", "train/dog/0.png", "test/Cat/0.png", "test/dog/0.png")
    with pytest.raises(UserError, match="the training part lacks: Cat"):
        scan(tmp_path)


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    touch(tmp_path, os.fsdecode(b"caf\xe9/\xff.png"), os.fsdecode(b"dog/\xff.png"))
    tree = scan(tmp_path)
    assert [os.fsencode(name) for name in tree.classes] == [b"caf\xe9", b"dog"]
    assert len(tree.parts["all"].files) == 2
