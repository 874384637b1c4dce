"""Files that are either the old version or the new one, never a part of it, whatever happens to the writer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".*.tmp"
"""Glob of what a killed writer may leave beside the file it was writing."""


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; on success it takes the place of `path`, on an error it vanishes.

    With `durable` the new content survives a power cut (fsync of file and folder); derived files can do without.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        if durable:
            _flush(temporary, os.O_RDWR)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable and hasattr(os, "O_DIRECTORY"):
        _flush(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the content of `path`."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace the content of `path` by standard JSON: a NaN or an infinity raises ValueError."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A file name that is no text has characters UTF-8 cannot encode; Python spells these as JSON does.
    write_bytes(path, text.encode(errors="backslashreplace"), durable=durable)


def rename_with_suffix(path: Path, suffix: str) -> Path:
    """Rename a file to `<name>.<suffix>`, or `<name>.<suffix>-2` and on where that is taken; returns its new path."""
    aside, number = path.with_name(f"{path.name}.{suffix}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{suffix}-{number}")
    return path.replace(aside)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
