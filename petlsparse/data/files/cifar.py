"""CIFAR-10 and CIFAR-100 in the two forms their authors publish: Python pickles and binary records.

A pickle can run any code when it is read. Here it may only build what these files consist of: dictionaries, lists,
strings, numbers and NumPy arrays.
"""

from __future__ import annotations

import io
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from petlsparse.data.files import packed
from petlsparse.data.files.published import CIFAR10, CIFAR100
from petlsparse.data.subset import stratified_split
from petlsparse.data.types import RawDataset, Split
from petlsparse.errors import Problem, UserError

VALIDATION = 5_000
SIDE = 32
_PIXELS = 3 * SIDE * SIDE


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` does for the bytes in pickles of protocols 0 to 2, and nothing else."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused to encode as {encoding}, which image batches do not need")
    return text.encode("latin1")


def _bytes(content: object = b"") -> bytes:
    return content if isinstance(content, bytes) else b""  # of a number it would be as many zeros


# Python and NumPy have moved these between modules, and a pickle names the module of its day.
_ADMITTED = {
    (f"numpy.{core}.{module}", name): function
    for core in ("core", "_core")
    for module, name, function in (
        ("multiarray", "_reconstruct", np.empty(0).__reduce__()[0]),
        ("multiarray", "scalar", np.int64(0).__reduce__()[0]),
        ("numeric", "_frombuffer", np.empty(1).__reduce_ex__(5)[0]),
    )
} | {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("builtins", "bytes"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytes,
    ("__builtin__", "bytearray"): _bytes,
}


def cifar10() -> RawDataset:
    """Train 45,000, val 5,000 (the five batches, not shuffled; arXiv 2306.12230, released code), test 10,000."""
    folder = CIFAR10.locate()
    official = _read(folder, [f"data_batch_{number}" for number in range(1, 6)], b"labels", 10)
    train, val = official.take(slice(None, -VALIDATION)), official.take(slice(-VALIDATION, None))
    test = partial(_read, folder, ["test_batch"], b"labels", 10)
    return RawDataset(10, train, val, test, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))


def cifar100() -> RawDataset:
    """Train 45,000, val 5,000 (50 of every fine class; own choice: there is no official split), test 10,000."""
    folder = CIFAR100.locate()
    official = _read(folder, ["train"], b"fine_labels", 100)
    kept, held = stratified_split(official.labels, len(official) // 10, "cifar100/val")
    test = partial(_read, folder, ["test"], b"fine_labels", 100)
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    return RawDataset(100, official.take(kept), official.take(held), test, mean, std)


def _read(folder: Path, stems: list[str], key: bytes, classes: int) -> Split:
    """The named files one after another, in whichever of the two forms the folder holds."""
    parts = []
    for stem in stems:
        binary = folder / f"{stem}.bin"
        pixels, labels = read_binary(binary, classes) if packed.exists(binary) else read_pickle(folder / stem, key)
        if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
            raise _broken(folder / stem, f"labels are not all in 0..{classes - 1}")
        parts.append((pixels, labels))
    images = torch.from_numpy(np.concatenate([pixels for pixels, _ in parts])).view(-1, 3, SIDE, SIDE)
    return Split(images, torch.from_numpy(np.concatenate([labels for _, labels in parts])))


def read_binary(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3072), plane by plane, and labels int64 (N,) of a file of binary records.

    A record is one label byte (CIFAR-100: coarse, then fine) and the pixels. Raises UserError for anything else.
    """
    label_bytes = 2 if classes == 100 else 1
    try:
        content = np.frombuffer(packed.content(path), dtype=np.uint8)
    except packed.BROKEN as error:
        raise _broken(path, str(error)) from error
    if content.size % (label_bytes + _PIXELS):
        raise _broken(path, f"{content.size:,} bytes are not a whole number of records")
    records = content.reshape(-1, label_bytes + _PIXELS)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def read_pickle(path: Path, key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3072) and labels int64 (N,), under ``data`` and ``key`` of a dictionary that any Python pickled.

    Raises UserError for anything else.
    """
    try:
        batch = _Restricted(io.BytesIO(packed.content(path)), encoding="bytes").load()
        batch = {name.encode() if isinstance(name, str) else name: value for name, value in batch.items()}
        pixels, labels = batch[b"data"], np.asarray(batch[key])
    except Exception as error:  # a pickle may raise anything
        raise _broken(path, f"{type(error).__name__}: {error}") from error
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise _broken(path, f"{key.decode()} are not a list of whole numbers")
    labels = labels.astype(np.int64)
    if not (isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == (len(labels), _PIXELS)):
        raise _broken(path, f"data are not (N, {_PIXELS}) bytes with a label each")
    return pixels, labels


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}, which image batches do not need")
        return _ADMITTED[module, name]


def _broken(path: Path, reason: str) -> UserError:
    return UserError(Problem(f"cannot read CIFAR images: {reason}", where=str(path)))
