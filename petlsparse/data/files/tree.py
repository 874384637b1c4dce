"""Folder trees of images, one folder per class: what is in them, found without opening an image.

Class folders lie in the tree directly, or in folders named after the parts. Hidden files and folders are passed over,
links are followed, and what can be read in two ways is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from petlsparse.data.files.roots import missing, roots
from petlsparse.data.files.shown import shown
from petlsparse.errors import Problem, UserError
from petlsparse.homes import expanded

if TYPE_CHECKING:
    from torch import Tensor

FOLDER_SIZE = 224
"""Side of images from files, unless another one is asked for."""

# fmt: off
SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".bw", ".cur", ".dds", ".dib", ".gif", ".icb", ".icns", ".ico", ".j2c", ".j2k",
    ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pfm", ".pgm",
    ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda",
    ".vst", ".webp", ".xbm", ".xpm",
})
# fmt: on
"""Of the pictures that Pillow reads, in lower case; it knows documents, films and measurements by others."""

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Name of a folder, in lower case -> the part it holds."""

_CLUTTER = frozenset({"__macosx", "@eadir", "__pycache__", "lost+found", "$recycle.bin", "system volume information"})
"""Folders that systems leave behind, in lower case; so are all whose names begin with a dot."""


class Skipped(NamedTuple):
    """A file or folder that is not used, and why."""

    path: Path
    why: str


class Encoded(Protocol):
    """An image file, wherever its bytes lie; as a string, what it is called in messages."""

    def read_bytes(self) -> bytes:
        """What Pillow opens."""
        ...


@dataclass(frozen=True)
class Part:
    """The image files of a part with their labels; those below class folders are sorted by class and name."""

    files: Sequence[Encoded]
    labels: tuple[int, ...]

    def take(self, indices: Tensor) -> Part:
        """The files at ``indices`` (B,), in that order."""
        chosen = indices.tolist()
        return Part(Chosen(self.files, chosen), tuple(self.labels[i] for i in chosen))


class Chosen(Sequence[Encoded]):
    """Some of many files."""

    def __init__(self, files: Sequence[Encoded], places: Sequence[int]) -> None:
        self._files, self._places = files, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        return self._files[self._places[index]]


@dataclass(frozen=True)
class Tree:
    """A tree's classes and the parts it is divided into by its user: "train", "val", "test", or just "all"."""

    path: Path
    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    folders: Mapping[str, Path]
    """Part -> the folder that holds its class folders."""
    skipped: tuple[Skipped, ...]


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


def shape(reference: str) -> tuple[int, int, int, int]:
    """Channels, height, width and classes of such a tree, by the names in it. Raises UserError as `scan` does."""
    return 3, FOLDER_SIZE, FOLDER_SIZE, _class_count(locate(reference).absolute())


@lru_cache(maxsize=8)
def _class_count(folder: Path) -> int:
    return len(scan(folder).classes)


def scan(path: Path) -> Tree:
    """Read a tree's shape.

    Raises UserError where it has fewer than two classes, a part that is empty or has classes of its own, or more than
    one reading, and where a folder cannot be listed.
    """
    skipped: list[Skipped] = []
    try:
        found = {folder: _classes(folder, skipped) for folder in _folders(path, skipped)}
        named = {folder: PART_NAMES[folder.name.lower()] for folder in found if folder.name.lower() in PART_NAMES}
        if named and _are_classes(named, found):
            named = {}
        folders = _parts(path, named, found) if named else {"all": path}
        by_class = {part: _by_class(folder, skipped) for part, folder in folders.items()}
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}", where=shown(error.filename or path))) from error
    if named:
        skipped += (Skipped(folder, "neither part nor class") for folder in found if folder not in folders.values())
        _skip_files(path, skipped)
    classes = tuple(by_class.get("train", by_class.get("all", {})))
    if len(classes) < 2:
        where = shown(folders.get("train", path))
        raise UserError(Problem("needs two or more class folders with images in them", where=where))
    for part, own in by_class.items():
        _check_classes(folders[part], own, classes)
    parts = {part: _listed(own, classes) for part, own in by_class.items()}
    return Tree(path, classes, parts, folders, tuple(dict.fromkeys(skipped)))


def _are_classes(named: Mapping[Path, str], found: Mapping[Path, tuple[str, ...]]) -> bool:
    """Whether folders named like parts are classes: they hold images but no folders with images, beside others."""
    others = (folder for folder in found if folder not in named)
    return (
        any(found[folder] or _has_images(folder) for folder in others)
        and not any(found[folder] for folder in named)
        and all(map(_has_images, named))
    )


def _parts(path: Path, named: Mapping[Path, str], found: Mapping[Path, tuple[str, ...]]) -> dict[str, Path]:
    """The folder of each part. Raises UserError for what is ambiguous."""
    folders: dict[str, Path] = {}
    for folder, part in named.items():
        if part in folders:
            message = f"{_name(folders[part])} and {_name(folder)} could both be the {part} part: rename or move one"
            raise UserError(Problem(message, where=shown(path)))
        folders[part] = folder
    others = [folder for folder in found if folder not in named and (found[folder] or _has_images(folder))]
    if others:
        parts, rest = (", ".join(map(_name, some)) for some in (folders.values(), others))
        message = f"{parts} could be parts or classes beside {rest}: move the one or the other elsewhere"
        raise UserError(Problem(message, where=shown(path)))
    if "train" not in folders:
        message = f"{', '.join(map(_name, folders.values()))} without a training part: name its folder train"
        raise UserError(Problem(message, where=shown(path)))
    return folders


def _check_classes(folder: Path, own: Mapping[str, object], classes: tuple[str, ...]) -> None:
    if not own:
        raise UserError(Problem("has no class folder with images in it", where=shown(folder)))
    if strange := [name for name in own if name not in classes]:
        message = f"has class folders that the training part lacks: {', '.join(map(shown, strange))}"
        raise UserError(Problem(message, where=shown(folder), valid=tuple(map(shown, classes))))


def _name(folder: Path) -> str:
    return f"{shown(folder.name)}/"


def _by_class(folder: Path, skipped: list[Skipped]) -> dict[str, list[Path]]:
    """Name of each class folder with images -> its images."""
    classes = {}
    for child in _folders(folder, skipped):
        files = list(_images(child, skipped))
        if files:
            classes[child.name] = sorted(files)
        else:
            skipped.append(Skipped(child, "a folder without images"))
    _skip_files(folder, skipped)
    return classes


def _skip_files(folder: Path, skipped: list[Skipped]) -> None:
    """Note the files that lie beside class folders."""
    files = sorted(file for file in folder.iterdir() if not file.is_dir() and not _hidden(file))
    skipped += (Skipped(file, "outside the class folders" if _is_image(file) else _no_image(file)) for file in files)


def _listed(by_class: Mapping[str, list[Path]], classes: tuple[str, ...]) -> Part:
    found = [(file, label) for label, name in enumerate(classes) for file in by_class.get(name, ())]
    return Part(tuple(file for file, _ in found), tuple(label for _, label in found))


def _classes(folder: Path, skipped: list[Skipped]) -> tuple[str, ...]:
    """The folders below that hold at least one image."""
    return tuple(child.name for child in _folders(folder, skipped) if next(_images(child, skipped), None))


def _has_images(folder: Path) -> bool:
    return any(_is_image(file) for file in folder.iterdir())


def _folders(path: Path, skipped: list[Skipped]) -> list[Path]:
    """The folders to look at, links to folders among them, by name."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    skipped += (Skipped(folder, "hidden") for folder in folders if _hidden(folder))
    return [folder for folder in folders if not _hidden(folder)]


def _images(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """All images below a folder. Each folder is entered once, so that links in a circle come to an end."""
    entered = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        place = Path(parent)
        info = place.stat()
        if (info.st_dev, info.st_ino) in entered:
            folders.clear()
            continue
        entered.add((info.st_dev, info.st_ino))
        skipped += (Skipped(place / name, "hidden") for name in folders if _hidden(place / name))
        folders[:] = sorted(name for name in folders if not _hidden(place / name))
        for file in (place / name for name in sorted(files)):
            if _hidden(file):
                skipped.append(Skipped(file, "hidden"))
            elif not _is_image(file):
                skipped.append(Skipped(file, _no_image(file)))
            else:
                yield file


def _raise(error: OSError) -> None:
    raise error


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _CLUTTER


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _no_image(path: Path) -> str:
    if path.suffix.lower() in SUFFIXES:
        return "a link to nothing" if path.is_symlink() else "no file"
    return f"not read as images: {shown(path.suffix.lower()) or 'no suffix'}"
