"""Image files decoded to squares of one size, once; later runs read the decoded pixels from the user's cache.

What is read there is held against its checksum; where that does not fit, the files are decoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from petlsparse.data.files.pixels import is_constant, rgb
from petlsparse.data.files.shown import shown
from petlsparse.errors import Problem, UserError
from petlsparse.homes import cache_home

RULES = 2
"""Of what pixels become; to be raised when this file or `pixels` makes others of the same bytes."""
_NAMED = 20  # broken files named in the message


@dataclass(frozen=True)
class DecodeSettings:
    """How images become squares: ``fit`` is "resize", both sides to ``size``, or "crop", the middle square."""

    size: int
    fit: str
    background: str


@dataclass(frozen=True)
class FileStatistics:
    """What the files of a part are: how many have each size and mode, what was done to them, and which are constant."""

    sizes: Counter[str] = field(default_factory=Counter)
    """Width×height as stored -> files."""
    modes: Counter[str] = field(default_factory=Counter)
    """Pillow's name -> files."""
    done: Counter[str] = field(default_factory=Counter)
    """In words -> files."""
    constant: list[int] = field(default_factory=list)
    """Places of the files whose pixels are all equal."""
    contents: list[str] = field(default_factory=list)
    """Of every file, a hash of its bytes."""


def decoded(files: tuple[Path, ...], settings: DecodeSettings) -> tuple[Tensor, FileStatistics]:
    """Images uint8 (N, 3, size, size), bicubic, and what the files are.

    Kept under the content of the files. Raises one UserError naming the files that cannot be read.
    """
    with contextlib.suppress(OSError):  # whoever decodes will name the file
        found = _cached(_cache_file((_digest(file.read_bytes()) for file in files), settings))
        if found is not None:
            return found
    images, stats = _decode(files, settings)
    place, told = _cache_file(stats.contents, settings), json.dumps(vars(stats))
    with contextlib.suppress(OSError, SafetensorError):  # a cache that cannot be written costs time, nothing else
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(f".{os.getpid()}")
        save_file({"images": images}, partial, metadata={"statistics": told, "checksum": _checksum(images, told)})
        partial.replace(place)
    return images, stats


def _cached(place: Path) -> tuple[Tensor, FileStatistics] | None:
    try:
        with safe_open(place, framework="pt") as file:
            about, images = file.metadata(), file.get_tensor("images")
        if _checksum(images, about["statistics"]) != about["checksum"]:
            return None
        told = json.loads(about["statistics"])
        counts = {name: Counter(told[name]) for name in ("sizes", "modes", "done")}
        return images, FileStatistics(**counts, constant=told["constant"], contents=told["contents"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None  # not there, or damaged


def _checksum(images: Tensor, stats: str) -> str:
    """CRC-32, which takes a fraction of the time that hashing the pixels for their fingerprint takes."""
    return f"{zlib.crc32(images.numpy().data, zlib.crc32(f'{tuple(images.shape)} {stats}'.encode())):08x}"


def _decode(files: tuple[Path, ...], settings: DecodeSettings) -> tuple[Tensor, FileStatistics]:
    images = torch.empty(len(files), 3, settings.size, settings.size, dtype=torch.uint8)
    stats, broken = FileStatistics(), []
    for index, file in enumerate(files):
        try:
            content = file.read_bytes()
            stats.contents.append(_digest(content))
            with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
                size, mode = "×".join(map(str, image.size)), image.mode
                colour, done = rgb(image, settings.background)
        except Exception as error:  # noqa: BLE001  whatever Pillow's parsers make of damage, the file is not readable
            broken.append(f"  {shown(file)}: {_reason(error)}")
            continue
        stats.sizes[size] += 1
        stats.modes[mode] += 1
        stats.done.update(done)
        if is_constant(colour):
            stats.constant.append(index)
        images[index] = torch.from_numpy(np.array(_square(colour, settings))).permute(2, 0, 1)
    if broken:
        more = [f"  and {len(broken) - _NAMED} more"] if len(broken) > _NAMED else []
        lines = [f"{len(broken)} of {len(files)} images cannot be read", *broken[:_NAMED], *more]
        raise UserError(Problem("\n".join(lines)))
    return images, stats


def _square(image: Image.Image, settings: DecodeSettings) -> Image.Image:
    sides = settings.size, settings.size
    if settings.fit == "crop":
        return ImageOps.fit(image, sides, Image.Resampling.BICUBIC)
    return image.resize(sides, Image.Resampling.BICUBIC)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image that Pillow knows"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _cache_file(digests: Iterable[str], settings: DecodeSettings) -> Path:
    about = f"{RULES} {PIL.__version__} {settings.size} {settings.fit} {settings.background}"
    key = hashlib.sha256(about.encode() + b"\0" + bytes.fromhex("".join(digests))).hexdigest()[:32]
    return cache_home() / "decoded" / f"{key}.safetensors"
