"""Any tree of images with one folder per class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

from petlsparse.data.files.encoded import EncodedDataset, decoded_dataset
from petlsparse.data.files.missing_parts import with_missing_parts
from petlsparse.data.files.shown import shown
from petlsparse.data.files.tree import Tree, locate, scan
from petlsparse.data.types import FolderSettings, RawDataset


def image_folder(reference: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """The images below a folder, given by its path or by its name under a data root.

    The folder holds ``train`` and, where its user made them, ``val`` and ``test`` with class folders in each, or
    class folders directly. Parts that are missing are cut out; see `with_missing_parts`.

    Raises UserError for a tree that has no clear meaning, for images that cannot be read, all at once, and for a
    fraction of a part that the tree has.
    """
    tree = scan(locate(reference))
    origins = {part: f"{shown(folder.name)}/" for part, folder in tree.folders.items()}
    parts, made = with_missing_parts(tree.parts, origins, settings)
    return decoded_dataset(EncodedDataset(tree.path, tree.classes, parts, made, _reasons(tree)), image_size, settings)


def _reasons(tree: Tree) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, tuple[str, ...]] = {}
    for path, why in tree.skipped:
        reasons[why] = (*reasons.get(why, ()), shown(path.relative_to(tree.path)))
    return reasons
