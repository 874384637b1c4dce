"""Tensors that many runs need, computed once and mapped from files by every worker of a command.

A file holds one tensor, raw, and its checksum, which is verified by whoever maps it. It is written under a temporary
name by one worker, while the others that need it wait, and takes its own name when it is complete; what a killed writer
leaves is never read. Workers map it copy-on-write: they share its pages in memory, and none can change it.

A file is locked (shared, by the operating system) as long as it is mapped anywhere; without that lock it may go when
room is needed, the least recently used first. Nothing has to be cleaned up after a killed worker.
"""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
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

CHECKSUM_BYTES = 4

NUMPY = {torch.float32: np.float32, torch.bfloat16: np.int16}
"""NumPy, which maps the files, has no bfloat16; the bits are the same."""


@dataclass(frozen=True)
class CachedTensor:
    """One tensor of the cache."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def file_size(self) -> int:
        """Bytes of its file."""
        return self.size + CHECKSUM_BYTES


class CacheFull(Exception):
    """The tensors do not fit, or cannot be written; says why."""


@dataclass(frozen=True)
class TensorCache:
    """A folder of tensors that takes no more than `limit` bytes. `warn` is told of what was damaged."""

    folder: Path
    limit: int
    warn: Callable[[str], None] = lambda _: None

    def take(
        self, group: str, entries: Collection[CachedTensor], fill: Callable[[Mapping[CachedTensor, IO[bytes]]], None]
    ) -> dict[CachedTensor, Tensor]:
        """The tensors of `entries`, those that are missing or damaged written by `fill`.

        Args:
            group: what is computed together: only one worker at a time fills files of a group.
            entries: their names are unique in the folder.
            fill: writes the tensors' bytes, in row-major order, to the files it is given.

        Raises:
            CacheFull: all of them together are too large, or too much of the rest is in use.
        """
        needed = sum(entry.file_size for entry in entries)
        if needed > self.limit:
            raise CacheFull(f"needs {readable(needed)}, --cache-memory allows {readable(self.limit)}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tensors = self._sound(entries)
            if len(tensors) < len(entries):
                with FileLock(self.folder / f"{group}.lock"):
                    missing = [entry for entry in entries if entry not in tensors]
                    tensors |= self._sound(missing)  # another worker's by now
                    tensors |= self._filled([entry for entry in missing if entry not in tensors], fill)
            return {entry: tensors[entry] for entry in entries}
        except OSError as error:
            raise CacheFull(f"cannot be written: {error.strerror or error}") from error

    def _sound(self, entries: Collection[CachedTensor]) -> dict[CachedTensor, Tensor]:
        """The tensors of those entries that are there as they were written."""
        tensors = {}
        with ExitStack() as ends:
            with self._room():
                files = {entry: ends.enter_context(_open(self._path(entry))) for entry in entries if self._has(entry)}
            for entry, file in files.items():
                tensor = _mapped(file, entry)
                file.seek(entry.size)
                if file.read() == _checksum(tensor):
                    tensors[entry] = tensor
        return tensors

    def _filled(
        self, entries: Sequence[CachedTensor], fill: Callable[[Mapping[CachedTensor, IO[bytes]]], None]
    ) -> dict[CachedTensor, Tensor]:
        """The tensors of entries that are not there, or damaged, written by `fill`."""
        if not entries:
            return {}
        tensors = {}
        with ExitStack() as ends:
            with self._room():
                for entry in filter(self._has, entries):
                    self.warn(f"a file of kept values was damaged, they are computed again: {self._path(entry)}")
                    self._path(entry).unlink()
                self._make_room(sum(entry.file_size for entry in entries))
                files = {entry: self._reserve(entry, ends) for entry in entries}
            fill(files)
            for entry, file in files.items():
                file.flush()
                tensors[entry] = _mapped(file, entry)
                file.seek(entry.size)
                file.write(_checksum(tensors[entry]))
                file.flush()
                self._temporary(entry).replace(self._path(entry))
        return tensors

    def _room(self) -> FileLock:
        """Held by who looks for files or makes room: none goes between being found and being in use."""
        return FileLock(self.folder / "room.lock")

    def _path(self, entry: CachedTensor) -> Path:
        return self.folder / entry.name

    def _has(self, entry: CachedTensor) -> bool:
        return self._path(entry).exists() and self._path(entry).stat().st_size == entry.file_size

    def _temporary(self, entry: CachedTensor) -> Path:
        return self.folder / f".{entry.name}.{os.getpid()}.tmp"

    def _reserve(self, entry: CachedTensor, ends: ExitStack) -> IO[bytes]:
        """A file to write a tensor to. It counts as full at once, and goes at the end unless it is renamed."""
        temporary = self._temporary(entry)
        ends.callback(temporary.unlink, missing_ok=True)
        file = ends.enter_context(_open(temporary, "w+b"))
        if hasattr(os, "posix_fallocate"):
            # A file with holes on a disk that is full kills who touches it once it is mapped.
            os.posix_fallocate(file.fileno(), 0, entry.file_size)
        else:
            file.truncate(entry.file_size)
        return file

    def _make_room(self, needed: int) -> None:
        """Remove what is not in use until `needed` bytes fit. Raises CacheFull, then removing nothing."""
        files = [path for path in self.folder.iterdir() if path.suffix != ".lock"]
        sizes = {path: path.stat().st_size for path in files}
        excess = sum(sizes.values()) + needed - self.limit
        if excess <= 0:
            return
        gc.collect()  # what this process no longer uses may still be mapped
        unused = {path: sizes[path] for path in files if not _in_use(path)}
        if sum(unused.values()) < excess:
            taken = sum(sizes.values()) - sum(unused.values())
            raise CacheFull(
                f"needs {readable(needed)} more, runs at work use {readable(taken)} of {readable(self.limit)}"
            )
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


def _mapped(file: IO[bytes], entry: CachedTensor) -> Tensor:
    """The tensor in a file, nothing copied; writes to it would stay in this process."""
    if entry.size == 0:  # cannot be mapped
        return torch.empty(entry.shape, dtype=entry.dtype)
    # The mapping keeps a duplicate of the file's descriptor, and with it the lock.
    array = np.memmap(file, NUMPY[entry.dtype], mode="c", shape=entry.shape)
    return torch.from_numpy(array).view(entry.dtype)


def _checksum(tensor: Tensor) -> bytes:
    """CRC-32 of the tensor's bytes: every run reads it anew, and it takes a fifth of the time of BLAKE2b."""
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data).to_bytes(CHECKSUM_BYTES, "little")
