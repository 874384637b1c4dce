"""Large image sets as torchvision's classes have them on disk: Places365, and iNaturalist of 2017 to 2021.

What they publish as validation is what papers report on: it is the test part here, and the validation part is cut from
the training images. iNaturalist of 2017 to 2019 lies in one tree for both; which image is of which part is said by the
files `train2018.json` and `val2018.json` that were published with it. Without these it is cut by class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from petlsparse.data import TORCHVISION
from petlsparse.data.files.roots import missing, roots
from petlsparse.data.files.shown import shown
from petlsparse.data.files.tree import FOLDER_SIZE, Part
from petlsparse.errors import Problem, UserError

if TYPE_CHECKING:
    from petlsparse.data.types import FolderSettings, RawDataset

SUPPLY = (
    "add to PETLSPARSE_DATA the root given to torchvision.datasets.Places365 or INaturalist",
    "place or link that folder's content below ./data",
    "use folder:NAME for images of your own in class folders",
)


def needed(name: str) -> tuple[str, ...]:
    """The files and folders below a root by which a data set is recognised."""
    kind, _, version = name.partition("-")
    if kind == "places365":
        lists = ("categories_places365.txt", "places365_train_standard.txt", "places365_val.txt")
        return *lists, f"data_{version}_standard", f"val_{version}"
    return ("2021_train", "2021_valid") if version == "2021" else (version,)


def find(name: str) -> Path | None:
    """The root that holds a data set."""
    return next((root for root in roots() if all((root / each).exists() for each in needed(name))), None)


def shape(name: str) -> tuple[int, int, int, int]:
    """Channels, height, width and classes; the images need not be there."""
    return 3, FOLDER_SIZE, FOLDER_SIZE, TORCHVISION[name]


def torchvision_images(name: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """One of ``TORCHVISION``, all of it decoded to a file in the cache.

    Raises UserError for one that is not here, for lists and folders that are not what they should be, and for images
    that cannot be read.
    """
    from petlsparse.data.files.encoded import EncodedDataset, decoded_dataset
    from petlsparse.data.files.missing_parts import with_missing_parts

    root = find(name)
    if root is None:
        raise missing(f"torchvision:{name}", [f"{{{', '.join(needed(name))}}}"], SUPPLY)
    kind, _, version = name.partition("-")
    read = {"places365": _places365, "inaturalist": _inaturalist}[kind]
    classes, given, origins = read(root, version, TORCHVISION[name])
    parts, made = with_missing_parts(given, origins, settings)
    return decoded_dataset(EncodedDataset(root, classes, parts, made), image_size, settings)


_Read = tuple[tuple[str, ...], dict[str, Part], dict[str, str]]
"""Names of classes, parts, and where these come from."""


def _places365(root: Path, version: str, classes: int) -> _Read:
    from petlsparse.data.files.lists import read_list

    names = [line.split() for line in (root / "categories_places365.txt").read_text().splitlines()]
    by_number = {int(number): name for name, number in names}
    if sorted(by_number) != list(range(classes)):
        message = f"should name {classes} categories, numbered from 0"
        raise UserError(Problem(message, shown(root / "categories_places365.txt")))
    lists = {"train": "places365_train_standard.txt", "test": "places365_val.txt"}
    folders = {"train": root / f"data_{version}_standard", "test": root / f"val_{version}"}
    parts = {part: read_list(root / file, folders[part], classes) for part, file in lists.items()}
    return tuple(by_number[number] for number in range(classes)), parts, lists


def _inaturalist(root: Path, version: str, classes: int) -> _Read:
    trees = ("2021_train", "2021_valid") if version == "2021" else (version,)
    depth = 1 if version == "2021" else 2
    found = {tree: _class_folders(root / tree, depth, numbered=version != "2017") for tree in trees}
    for tree, names in found.items():
        if len(names) != classes:
            raise UserError(Problem(f"should hold {classes} class folders, not {len(names)}", shown(root / tree)))
    if version == "2021":
        parts = {part: _listed(root / tree, found[tree]) for part, tree in zip(("train", "test"), trees, strict=True)}
        return found[trees[0]], parts, {"train": "2021_train", "test": "2021_valid"}
    everything, names = _listed(root / version, found[version]), found[version]
    lists = {part: _list_of(root, f"{said}{version}.json") for part, said in (("train", "train"), ("test", "val"))}
    if any(file is None for file in lists.values()):
        return names, {"all": everything}, {"all": version}
    numbers = {name: number for number, name in enumerate(names)}
    parts = {part: _in_list(file, root / version, numbers) for part, file in lists.items() if file is not None}
    return names, parts, {part: file.name for part, file in lists.items() if file is not None}


def _class_folders(tree: Path, depth: int, *, numbered: bool) -> tuple[str, ...]:
    """Below a tree, in the order of their numbers."""
    names = ["/".join(path.parts[-depth:]) for path in sorted(tree.glob("/".join("*" * depth))) if path.is_dir()]
    if depth == 2 and numbered:
        if odd := next((name for name in names if not name.rpartition("/")[2].isdecimal()), None):
            raise UserError(Problem(f'the class folder "{shown(odd)}" should be a number', shown(tree)))
        names.sort(key=lambda name: int(name.rpartition("/")[2]))
    return tuple(names)


def _listed(tree: Path, names: tuple[str, ...]) -> Part:
    from petlsparse.data.files.lists import Below

    found = [
        (f"{name}/{file.name}", label)
        for label, name in enumerate(names)
        for file in sorted((tree / name).iterdir())
        if not file.name.startswith(".")
    ]
    return Part(Below(tree, [file for file, _ in found]), tuple(label for _, label in found))


def _list_of(root: Path, name: str) -> Path | None:
    return next((place for place in (root / name, root / name[-9:-5] / name) if place.is_file()), None)


def _in_list(file: Path, tree: Path, numbers: Mapping[str, int]) -> Part:
    """The images of a list in COCO's form, whose names begin with a folder that torchvision renames."""
    from petlsparse.data.files.lists import Below

    try:
        names = [image["file_name"].partition("/")[2] for image in json.loads(file.read_text())["images"]]
        labels = tuple(numbers[name.rpartition("/")[0]] for name in names)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(Problem(f"is no list of the images in {shown(tree)}: {error!r}", shown(file))) from error
    return Part(Below(tree, names), labels)
