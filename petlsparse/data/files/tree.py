"""Folder trees of images, one folder per class: what is in them, found without opening an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from petlsparse.data.files.roots import missing, roots
from petlsparse.errors import Problem, UserError
from petlsparse.homes import expanded

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_PART_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Part:
    """The images below one folder of class folders, sorted by class and name."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """A tree's classes and the parts it is divided into by its user: "train", "val", "test", or just "all"."""

    path: Path
    classes: tuple[str, ...]
    parts: dict[str, Part]


def locate(reference: str) -> Path:
    """The folder a reference means: a path, else a name below one of the roots. UserError when there is none."""
    candidates = [expanded(reference), *(root / reference for root in roots())]
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None:
        ways = (
            "give the folder's path: folder:/path/to/images",
            "add the folder that contains it to PETLSPARSE_DATA",
            "place or link it below ./data",
        )
        raise missing(f"folder:{reference}", [f"the folder {reference}"], ways)
    return found


def scan(path: Path) -> Tree:
    """Read a tree's shape. Raises UserError for one without classes, and for a part with classes of its own."""
    folders = {part: path / name for name, part in _PART_NAMES.items() if (path / name).is_dir()}
    if "train" not in folders:
        folders = {"all": path}
    classes = class_names(folders.get("train", path))
    if len(classes) < 2:
        raise UserError(Problem("needs two or more class folders with images in them", where=str(path)))
    return Tree(path, classes, {name: _part(folder, classes) for name, folder in folders.items()})


def class_names(path: Path) -> tuple[str, ...]:
    """Names of the folders that hold at least one image, sorted."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    return tuple(folder.name for folder in folders if any(_is_image(file) for file in folder.rglob("*")))


def _part(folder: Path, classes: tuple[str, ...]) -> Part:
    strange = sorted(set(class_names(folder)) - set(classes))
    if strange:
        message = f"has class folders that the training part lacks: {', '.join(strange)}"
        raise UserError(Problem(message, where=str(folder), valid=classes))
    found = [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((folder / name).rglob("*"))
        if _is_image(file)
    ]
    return Part(tuple(file for file, _ in found), tuple(label for _, label in found))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
