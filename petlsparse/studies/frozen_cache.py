"""Tensors that many runs need, computed once and mapped from files by every worker of a command.

A file holds one tensor, raw. It is written under a temporary name by one worker, while the others that need it wait,
and takes its own name when it is complete; what a killed writer leaves is never read. Workers map it copy-on-write:
they share its pages in memory, and none can change it.

A file is locked (shared, by the operating system) as long as it is mapped anywhere; without that lock it may go when
room is needed, the least recently used first. Nothing has to be cleaned up after a killed worker.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from petlsparse.recipe.sizes import readable

try:
    import fcntl
except ImportError:  # Windows does not remove what is mapped: there no lock is needed
    fcntl = None  # type: ignore[assignment]

NUMPY = {torch.float32: np.float32, torch.bfloat16: np.int16}
"""NumPy, which maps the files, has no bfloat16; the bits are the same."""


@dataclass(frozen=True)
class Entry:
    """One tensor of the cache."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class NoRoom(Exception):
    """The tensors do not fit, or cannot be written; says why."""


@dataclass(frozen=True)
class FrozenCache:
    """A folder of tensors that takes no more than `limit` bytes."""

    folder: Path
    limit: int

    def take(
        self, group: str, entries: Collection[Entry], fill: Callable[[Mapping[Entry, IO[bytes]]], None]
    ) -> dict[Entry, Tensor]:
        """The tensors of `entries`, those that are missing written by `fill`.

        Args:
            group: what is computed together: only one worker at a time fills files of a group.
            entries: their names are unique in the folder.
            fill: writes the tensors' bytes, in row-major order, to the files it is given.

        Raises:
            NoRoom: all of them together are too large, or too much of the rest is in use.
        """
        needed = sum(entry.size for entry in entries)
        if needed > self.limit:
            raise NoRoom(f"needs {readable(needed)}, --cache-memory allows {readable(self.limit)}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{group}.lock"), ExitStack() as ends:
                with FileLock(self.folder / "room.lock"):
                    present = {
                        entry: ends.enter_context(_open(self._path(entry))) for entry in entries if self._has(entry)
                    }
                    missing = [entry for entry in entries if entry not in present]
                    self._make_room(sum(entry.size for entry in missing))
                    written = {entry: self._reserve(entry, ends) for entry in missing}
                if written:
                    fill(written)
                for entry, file in written.items():
                    file.flush()
                    self._temporary(entry).replace(self._path(entry))
                return {entry: _mapped((present | written)[entry], entry) for entry in entries}
        except OSError as error:
            raise NoRoom(f"cannot be written: {error.strerror or error}") from error

    def _path(self, entry: Entry) -> Path:
        return self.folder / entry.name

    def _has(self, entry: Entry) -> bool:
        return self._path(entry).exists() and self._path(entry).stat().st_size == entry.size

    def _temporary(self, entry: Entry) -> Path:
        return self.folder / f".{entry.name}.{os.getpid()}.tmp"

    def _reserve(self, entry: Entry, ends: ExitStack) -> IO[bytes]:
        """A file to write a tensor to. It counts as full at once, and goes at the end unless it is renamed."""
        temporary = self._temporary(entry)
        ends.callback(temporary.unlink, missing_ok=True)
        file = ends.enter_context(_open(temporary, "w+b"))
        if entry.size and hasattr(os, "posix_fallocate"):
            # A file with holes on a disk that is full kills who touches it once it is mapped.
            os.posix_fallocate(file.fileno(), 0, entry.size)
        else:
            file.truncate(entry.size)
        return file

    def _make_room(self, needed: int) -> None:
        """Remove what is not in use until `needed` bytes fit. Raises NoRoom, then removing nothing."""
        files = [path for path in self.folder.iterdir() if path.suffix != ".lock"]
        sizes = {path: path.stat().st_size for path in files}
        excess = sum(sizes.values()) + needed - self.limit
        if excess <= 0:
            return
        gc.collect()  # what this process no longer uses may still be mapped
        unused = {path: sizes[path] for path in files if not _in_use(path)}
        if sum(unused.values()) < excess:
            taken = sum(sizes.values()) - sum(unused.values())
            raise NoRoom(f"needs {readable(needed)} more, runs at work use {readable(taken)} of {readable(self.limit)}")
        for path in sorted(unused, key=lambda path: path.stat().st_mtime_ns):
            if excess <= 0:
                break
            path.unlink()
            excess -= unused[path]


def _open(path: Path, mode: str = "rb") -> IO[Any]:
    """The file, locked against removal for as long as it is open or mapped."""
    file = path.open(mode)
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_SH)
    os.utime(path)  # used now
    return file


def _in_use(path: Path) -> bool:
    with path.open("rb") as file, suppress(BlockingIOError):
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def _mapped(file: IO[bytes], entry: Entry) -> Tensor:
    """The tensor in a file, nothing copied; writes to it would stay in this process."""
    if entry.size == 0:  # cannot be mapped
        return torch.empty(entry.shape, dtype=entry.dtype)
    # The mapping keeps a duplicate of the file's descriptor, and with it the lock.
    array = np.memmap(file, NUMPY[entry.dtype], mode="c", shape=entry.shape)
    return torch.from_numpy(array).view(entry.dtype)
