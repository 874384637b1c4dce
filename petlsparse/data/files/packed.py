"""Files that may have been compressed where they lie."""

import gzip
import zlib
from pathlib import Path

BROKEN = (OSError, EOFError, zlib.error)
"""What reading raises where a file is not there, cut off or damaged."""


def exists(path: Path) -> bool:
    """Whether the file is there, as it is or with ``.gz`` added to its name."""
    return path.is_file() or _packed(path).is_file()


def content(path: Path) -> bytes:
    """The file's bytes, unpacked where only its ``.gz`` is there. Raises one of BROKEN."""
    return path.read_bytes() if path.is_file() else gzip.decompress(_packed(path).read_bytes())


def _packed(path: Path) -> Path:
    return path.with_name(path.name + ".gz")
