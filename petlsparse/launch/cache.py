"""The cache that the workers of a command share: a folder in its store, and how large it may become."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from petlsparse.tracking.machine import available_memory

SHARE_OF_MEMORY = 0.5
"""Of the available memory, unless a size is given. The cache is mapped from files: what is short of memory may take it
back."""

SHARE_OF_DISK = 0.5
"""Of the free space where the store is, whatever size is given."""


@contextmanager
def shared_cache(store: Path, wanted: int | None = None) -> Iterator[tuple[Path, int]]:
    """The cache folder of the store, which workers make when they need it, and the bytes it may take.

    It ends with the command. What a killed one left is removed first: after a power cut nobody could tell whether it
    is complete. For the holder of the store's lock.
    """
    folder = store.absolute() / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder, cache_limit(store, wanted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cache_limit(store: Path, wanted: int | None = None) -> int:
    """Bytes the cache may take: as many as wanted, or a share of what is free."""
    size = int(SHARE_OF_MEMORY * available_memory()) if wanted is None else wanted
    return min(size, int(SHARE_OF_DISK * shutil.disk_usage(store).free))
