"""Writers of the published file formats, following their descriptions and not the readers under test."""

import gzip
import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image


def write_idx(path: Path, array: np.ndarray) -> None:
    """An idx file of unsigned bytes; compressed when the name ends in .gz."""
    content = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Pickles as Python 2's cPickle did, protocol 2: bytes are plain strings, NumPy lives in numpy.core."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=2)

    def save_bytes(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or value.__qualname__}\n".encode())
        self.memoize(value)

    dispatch[bytes] = save_bytes
    dispatch[type(write_idx)] = save_global
    dispatch[type] = save_global


def write_python2_pickle(path: Path, value: object) -> None:
    buffer = io.BytesIO()
    Python2Pickler(buffer).dump(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_vtab_task(folder: Path, sizes: dict[str, int], classes: int) -> None:
    """A task of VTAB-1k as NOAH exports it: JPEG images, lists, and the list of both training parts.

    Image number n of all is as bright as 10 n, and of class 3 n modulo `classes`.
    """
    lines: dict[str, list[str]] = {}
    first = 0
    for part, size in sizes.items():
        for index in range(size):
            name = f"images/{part}/{index:06d}.jpg"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((24, 36, 3), 10 * (first + index), np.uint8)).save(folder / name)
            lines.setdefault(part, []).append(f"{name} {3 * (first + index) % classes}")
        first += size
    lines["train800val200"] = lines["train800"] + lines["val200"]
    for part, named in lines.items():
        (folder / f"{part}.txt").write_text("\n".join(named) + "\n")
