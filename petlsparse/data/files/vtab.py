"""VTAB-1k (arXiv 1910.04867) as NOAH's folders have it: of each task a folder with images, and a list for each part.

The parts are `train800`, `val200` and `test`. The thousand examples that papers train their last model on are the
first two, `data.train_on = "train+val"`; the list `train800val200` holds the same and is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petlsparse.data import VTAB
from petlsparse.data.files.roots import missing, roots
from petlsparse.data.files.tree import FOLDER_SIZE
from petlsparse.errors import UserError

if TYPE_CHECKING:
    from petlsparse.data.types import FolderSettings, RawDataset

LISTS = {"train": "train800", "val": "val200", "test": "test"}
FOLDERS = ("vtab-1k", "vtab", "")
"""Where below a root the folders of tasks are."""

SUPPLY = (
    "add to PETLSPARSE_DATA the folder that holds the folders of the tasks, as NOAH's repository names them",
    "place or link it as ./data/vtab-1k",
    "use sprites-location, sprites-orientation or shapes-count, which are made alike and come with petlsparse",
)


def find(task: str) -> Path | None:
    """The folder of a task, where it holds the three lists."""
    places = (root / folder / task for root in roots() for folder in FOLDERS)
    return next((place for place in places if all((place / f"{name}.txt").is_file() for name in LISTS.values())), None)


def absent(task: str) -> UserError:
    """The error for a task that is not on this machine."""
    lists = ", ".join(f"{name}.txt" for name in LISTS.values())
    folders = " or ".join(str(Path(folder, task)) for folder in FOLDERS)
    return missing(f"vtab:{task}", [f"{{{lists}}} in {folders}"], SUPPLY)


def shape(task: str) -> tuple[int, int, int, int]:
    """Channels, height, width and classes; the images need not be there."""
    return 3, FOLDER_SIZE, FOLDER_SIZE, VTAB[task]


def vtab(task: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """Train 800, val 200 and the whole test part of a task of ``VTAB``, in the order of their lists.

    Raises UserError for a task that is not here, lists that are damaged and images that cannot be read.
    """
    from petlsparse.data.files.encoded import EncodedDataset, decoded_dataset
    from petlsparse.data.files.lists import read_list

    folder = find(task)
    if folder is None:
        raise absent(task)
    parts = {part: read_list(folder / f"{name}.txt", folder, VTAB[task]) for part, name in LISTS.items()}
    made = {part: f"{name}.txt" for part, name in LISTS.items()}
    names = tuple(map(str, range(VTAB[task])))
    return decoded_dataset(EncodedDataset(folder, names, parts, made), image_size, settings)
