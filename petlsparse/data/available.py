"""What data sets there are, which of them are on this machine, and how to supply the others. Opens no image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from petlsparse.data import DATASETS, TORCHVISION, VTAB, Known
from petlsparse.data.files import torchvision_layouts, vtab
from petlsparse.data.files.published import PublishedDataset
from petlsparse.data.files.roots import roots
from petlsparse.data.files.tree import FOLDER_SIZE, scan
from petlsparse.errors import UserError


@dataclass(frozen=True)
class AvailableDataset:
    """One data set."""

    name: str
    source: str
    """ "bundled", "generated" or "disk"."""
    found: bool
    path: Path | None
    """Where it was found, for data on disk."""
    examples: tuple[int, int, int] | None
    """Of train, val and test; None where the parts are cut when the set is loaded."""
    classes: int
    shape: tuple[int, int, int] | None
    """Channels, height, width; None where images differ."""
    how_to_supply: tuple[str, ...] = ()


def inventory() -> list[AvailableDataset]:
    """The named data sets, what is here of families with members, every image folder directly below a data root."""
    return [*(_named(name, known) for name, known in DATASETS.items()), *_vtab(), *_torchvision(), *_folders()]


def _named(name: str, known: Known) -> AvailableDataset:
    about = known.examples, known.classes, known.shape
    if known.place is None:
        return AvailableDataset(name, known.source, True, None, *about)
    module, _, attribute = known.place.partition(":")
    place: PublishedDataset = getattr(import_module(module), attribute)
    path = place.find()
    return AvailableDataset(name, known.source, path is not None, path, *about, place.supply)


def _vtab() -> list[AvailableDataset]:
    return _members("vtab:", "TASK", VTAB, vtab.find, vtab.SUPPLY)


def _torchvision() -> list[AvailableDataset]:
    return _members("torchvision:", "NAME", TORCHVISION, torchvision_layouts.find, torchvision_layouts.SUPPLY)


def _members(
    prefix: str,
    placeholder: str,
    classes: Mapping[str, int],
    find: Callable[[str], Path | None],
    supply: tuple[str, ...],
) -> list[AvailableDataset]:
    """A row for each member of a family that is here, and one for all that are not."""
    found = {name: path for name in classes if (path := find(name)) is not None}
    side = 3, FOLDER_SIZE, FOLDER_SIZE
    rows = [
        AvailableDataset(f"{prefix}{name}", "disk", True, path, None, classes[name], side)
        for name, path in found.items()
    ]
    if absent := [name for name in classes if name not in found]:
        several = f"{prefix}{placeholder} ({len(absent)} others)" if found else f"{prefix}{placeholder}"
        rows.append(AvailableDataset(several, "disk", False, None, None, 0, None, supply))
    return rows


def _folders() -> list[AvailableDataset]:
    rows = []
    taken = {root / each for name in TORCHVISION if (root := torchvision_layouts.find(name)) for each in root.iterdir()}
    for root in roots():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path.name in vtab.FOLDERS or path in taken:
                continue
            try:
                tree = scan(path) if path.is_dir() else None
            except (UserError, OSError):
                continue  # not a tree of images
            if tree is not None:
                rows.append(AvailableDataset(f"folder:{path.name}", "disk", True, path, None, len(tree.classes), None))
    return rows
