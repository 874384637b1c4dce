"""What data sets there are, which of them are on this machine, and how to supply the others. Opens no image."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from petlsparse.data import DATASETS, VTAB, Known
from petlsparse.data.files import vtab
from petlsparse.data.files.published import PublishedDataset
from petlsparse.data.files.roots import roots
from petlsparse.data.files.tree import scan
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
    """The named data sets, the tasks of VTAB-1k that are here, then every image folder directly below a data root."""
    return [*(_named(name, known) for name, known in DATASETS.items()), *_vtab(), *_folders()]


def _named(name: str, known: Known) -> AvailableDataset:
    about = known.examples, known.classes, known.shape
    if known.place is None:
        return AvailableDataset(name, known.source, True, None, *about)
    module, _, attribute = known.place.partition(":")
    place: PublishedDataset = getattr(import_module(module), attribute)
    path = place.find()
    return AvailableDataset(name, known.source, path is not None, path, *about, place.supply)


def _vtab() -> list[AvailableDataset]:
    """A row for each task that is here, and one for all that are not."""
    found = {task: path for task in VTAB if (path := vtab.find(task)) is not None}
    rows = [
        AvailableDataset(f"vtab:{task}", "disk", True, path, None, VTAB[task], vtab.shape(task)[:3])
        for task, path in found.items()
    ]
    absent = [task for task in VTAB if task not in found]
    if absent:
        name = f"vtab:{{{','.join(absent)}}}" if found else "vtab:TASK"
        rows.append(AvailableDataset(name, "disk", False, None, None, 0, None, vtab.SUPPLY))
    return rows


def _folders() -> list[AvailableDataset]:
    rows = []
    for root in roots():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path.name in vtab.FOLDERS:
                continue
            try:
                tree = scan(path) if path.is_dir() else None
            except (UserError, OSError):
                continue  # not a tree of images
            if tree is not None:
                rows.append(AvailableDataset(f"folder:{path.name}", "disk", True, path, None, len(tree.classes), None))
    return rows
