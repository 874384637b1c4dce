"""What data sets there are, which of them are on this machine, and how to supply the others. Opens no image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from petlsparse.data.files.places import CIFAR10, CIFAR100, FASHION_MNIST, OnDisk
from petlsparse.data.files.roots import roots
from petlsparse.data.files.tree import scan
from petlsparse.errors import UserError


@dataclass(frozen=True)
class KnownDataset:
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


def inventory() -> list[KnownDataset]:
    """The named data sets, then every image folder directly below a data root."""
    grey = (1, 28, 28)
    sprites = (1, 64, 64)
    return [
        KnownDataset("fashion-mnist-10k", "bundled", True, None, (7_000, 1_000, 2_000), 10, grey),
        KnownDataset("digits", "bundled", True, None, (800, 200, 797), 10, (1, 8, 8)),
        KnownDataset("sprites-location", "generated", True, None, (800, 200, 3_000), 16, sprites),
        KnownDataset("sprites-orientation", "generated", True, None, (800, 200, 3_000), 16, sprites),
        KnownDataset("shapes-count", "generated", True, None, (800, 200, 3_000), 8, (3, 64, 64)),
        _on_disk(FASHION_MNIST, (110_000, 4_000, 4_000), 107, (3, 32, 32), name="pretraining-mix", source="generated"),
        _on_disk(FASHION_MNIST, (54_000, 6_000, 10_000), 10, grey),
        _on_disk(CIFAR10, (45_000, 5_000, 10_000), 10, (3, 32, 32)),
        _on_disk(CIFAR100, (45_000, 5_000, 10_000), 100, (3, 32, 32)),
        *_folders(),
    ]


def _on_disk(
    place: OnDisk,
    examples: tuple[int, int, int],
    classes: int,
    shape: tuple[int, int, int],
    *,
    name: str = "",
    source: str = "disk",
) -> KnownDataset:
    path = place.find()
    return KnownDataset(name or place.name, source, path is not None, path, examples, classes, shape, place.supply)


def _folders() -> list[KnownDataset]:
    rows = []
    for root in roots():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            try:
                tree = scan(path) if path.is_dir() else None
            except (UserError, OSError):
                continue  # not a tree of images
            if tree is not None:
                rows.append(KnownDataset(f"folder:{path.name}", "disk", True, path, None, len(tree.classes), None))
    return rows
