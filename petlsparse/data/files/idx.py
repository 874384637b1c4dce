"""The idx format of MNIST and its successors: a big-endian header, then the array's bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from petlsparse.data.files import packed
from petlsparse.errors import Problem, UserError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of unsigned bytes, plain or with ``.gz`` added to its name, into an array of its shape.

    Raises UserError naming the file when it is truncated, corrupted or of another type.
    """
    try:
        content = packed.content(path)
    except packed.BROKEN as error:
        raise _broken(path, str(error)) from error
    if len(content) < 4 or content[:2] != b"\0\0":
        raise _broken(path, "this is not an idx file")
    kind, rank = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise _broken(path, f"only unsigned bytes are read, not elements of type 0x{kind:02x}")
    start = 4 + 4 * rank
    if len(content) < start:
        raise _broken(path, "the header is cut off")
    shape = tuple(np.frombuffer(content, dtype=">u4", count=rank, offset=4).tolist())
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise _broken(path, f"{len(content):,} bytes where the header promises {expected:,}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _broken(path: Path, reason: str) -> UserError:
    return UserError(Problem(f"cannot read an idx file: {reason}", where=str(path)))
