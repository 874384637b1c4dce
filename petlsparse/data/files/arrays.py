"""Images as arrays in one .npz or .safetensors file: x_train and y_train, and x_val, y_val, x_test, y_test if given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from petlsparse.data.description import DatasetDescription, examples_per_class
from petlsparse.data.files.missing_parts import PARTS, with_missing_parts
from petlsparse.data.files.roots import locate_file
from petlsparse.data.files.shown import shown
from petlsparse.data.types import FolderSettings, RawDataset, Split
from petlsparse.errors import Problem, UserError, nearest_name

PREFIX = "arrays:"
ARRAYS = tuple(f"{kind}_{part}" for part in PARTS for kind in "xy")
CHANNELS = (1, 3)
_BROKEN = (OSError, EOFError, KeyError, ValueError, BadZipFile, SafetensorError)


def shape(reference: str) -> tuple[int, int, int, int]:
    """Channels, height, width and classes. Reads the arrays: no header tells how many classes there are."""
    return _shape(locate_file(PREFIX, reference).absolute())


@lru_cache(maxsize=8)
def _shape(path: Path) -> tuple[int, int, int, int]:
    parts = _read(path)
    channels, height, width = parts["train"].images.shape[1:]
    return channels, height, width, _classes(parts)


def array_file(reference: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """The arrays of a file. Parts that are missing are cut out by class; see `with_missing_parts`.

    Images are uint8, (N, H, W), (N, H, W, C) or (N, C, H, W) with one or three channels; labels whole numbers from 0,
    (N,) or (N, 1). Those in a safetensors file are mapped from it, those in an npz file held in memory.

    Raises UserError for arrays with other names, shapes or types, and for shapes that can be read in two ways.
    """
    path = locate_file(PREFIX, reference)
    given = _read(path)
    classes = _classes(given)
    parts, made = with_missing_parts(given, {part: f"x_{part}" for part in given}, settings)
    channels, height, width = parts["train"].images.shape[1:]
    examples = sum(map(len, parts.values()))
    return RawDataset(
        classes,
        parts["train"],
        parts["val"],
        lambda: with_missing_parts(_read(path), {part: f"x_{part}" for part in given}, settings)[0]["test"],
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
        description=DatasetDescription(
            made=made,
            counts={name: examples_per_class(part, classes) for name, part in parts.items()},
            class_names=tuple(map(str, range(classes))),
            sizes={f"{width}×{height}": examples},
            modes={"L" if channels == 1 else "RGB": examples},
        ),
    )


def _classes(parts: dict[str, Split]) -> int:
    return int(max(part.labels.max().item() for part in parts.values())) + 1


def _read(path: Path) -> dict[str, Split]:
    where = shown(path)
    try:
        with _opened(path) as arrays:
            names = set(arrays.keys())
            if strange := sorted(names - set(ARRAYS)):
                nearest = nearest_name(strange[0], ARRAYS)
                raise UserError(Problem(f'unknown array "{strange[0]}"', where, None, nearest, ARRAYS))
            given = [part for part in PARTS if {f"x_{part}", f"y_{part}"} & names]
            if lacking := sorted({f"{kind}_{part}" for part in ("train", *given) for kind in "xy"} - names):
                raise UserError(Problem(f"has no array {' and no array '.join(lacking)}", where))
            return {part: _part(arrays, part, where) for part in given}
    except _BROKEN as error:
        raise UserError(Problem(f"cannot be read: {error}", where)) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """What has `keys()` and `get_tensor(name)`."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            yield file
    elif path.suffix == ".npz":
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield _Npz(arrays)
    else:
        kinds = (".npz", ".safetensors")
        raise UserError(Problem("should be a file of arrays", shown(path), path.suffix or "no suffix", valid=kinds))


class _Npz:
    def __init__(self, file: Any) -> None:
        self._file = file

    def keys(self) -> list[str]:
        return list(self._file)

    def get_tensor(self, name: str) -> Tensor:
        array = self._file[name]
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def _part(arrays: Any, part: str, where: str) -> Split:
    images = _images(arrays.get_tensor(f"x_{part}"), f"{where}: x_{part}")
    labels = _labels(arrays.get_tensor(f"y_{part}"), f"{where}: y_{part}")
    if len(images) != len(labels):
        raise UserError(Problem(f"has {len(images)} images and {len(labels)} labels", f"{where}: the {part} part"))
    return Split(images, labels)


def _images(values: Tensor, where: str) -> Tensor:
    """As (N, C, H, W), a view."""
    if values.dtype != torch.uint8:
        said = str(values.dtype).removeprefix("torch.")
        raise UserError(Problem(f"pixels should be uint8, 0 to 255, not {said}", where))
    if values.ndim == 3:
        return values[:, None]
    sides = "×".join(map(str, values.shape))
    if values.ndim != 4:
        raise UserError(Problem("images should be (N, H, W), (N, H, W, C) or (N, C, H, W)", where, sides))
    first, last = values.shape[1] in CHANNELS, values.shape[3] in CHANNELS
    if first == last:
        message = "either end of" if first else "neither end of"
        message = f"{message} the images' shape can be their channels, 1 or 3: (N, C, H, W) or (N, H, W, C)"
        raise UserError(Problem(message, where, sides))
    return values if first else values.permute(0, 3, 1, 2)


def _labels(values: Tensor, where: str) -> Tensor:
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1 or values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        message = f"labels should be whole numbers (N,), not {str(values.dtype).removeprefix('torch.')}"
        raise UserError(Problem(message, where, "×".join(map(str, values.shape))))
    if not len(values) or values.min() < 0:
        raise UserError(Problem("labels should be numbers from 0" if len(values) else "has no labels", where))
    return values.to(torch.int64)
