"""Image files decoded to squares of one size, once, into the user's cache, from which their pixels are mapped.

A file of the cache is the pixels, what is known of the files as JSON, and the length of that in 8 bytes. What is read
there is held against its checksum; where that does not fit, the files are decoded again.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from petlsparse.data.files.pixels import is_constant, rgb
from petlsparse.data.files.shown import shown
from petlsparse.data.files.tree import Encoded
from petlsparse.errors import Problem, UserError
from petlsparse.homes import cache_home

RULES = 2
"""Of what pixels become; to be raised when this file or `pixels` makes others of the same bytes."""
_NAMED = 20  # broken files named in the message
_LENGTH = 8  # bytes of a number


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


def decoded(files: Sequence[Encoded], settings: DecodeSettings) -> tuple[Tensor, FileStatistics]:
    """Images uint8 (N, 3, size, size), bicubic, and what the files are.

    The images are mapped from the cache, where they are kept under the content of the files: they take no more memory
    than the system has to spare. Only where the cache cannot be written are they held in memory.

    Raises one UserError naming the files that cannot be read.
    """
    with contextlib.suppress(OSError):  # whoever decodes will name the file
        found = _cached(_cache_file((_digest(file.read_bytes()) for file in files), settings), len(files), settings)
        if found is not None:
            return found
    try:
        return _decode_to_file(files, settings)
    except OSError:  # a cache that cannot be written costs time and memory, nothing else
        pixels = bytearray()
        stats = _decode(files, settings, pixels.extend)
        return _shaped(torch.frombuffer(pixels, dtype=torch.uint8), settings), stats


def _decode_to_file(files: Sequence[Encoded], settings: DecodeSettings) -> tuple[Tensor, FileStatistics]:
    home = cache_home() / "decoded"
    home.mkdir(parents=True, exist_ok=True)
    partial = home / f"{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            stats = _decode(files, settings, file.write)
            file.flush()
            checksum, told = _checksum(_mapped(partial, len(files), settings), vars(stats)), vars(stats)
            trailer = json.dumps({"checksum": checksum, "statistics": told}).encode()
            file.write(trailer + len(trailer).to_bytes(_LENGTH))
        place = _cache_file(stats.contents, settings)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
    return _mapped(place, len(files), settings), stats


def _mapped(place: Path, count: int, settings: DecodeSettings) -> Tensor:
    size = count * 3 * settings.size**2
    return _shaped(torch.from_file(os.fspath(place), size=size, dtype=torch.uint8), settings)


def _shaped(pixels: Tensor, settings: DecodeSettings) -> Tensor:
    return pixels.view(-1, 3, settings.size, settings.size)


def _cached(place: Path, count: int, settings: DecodeSettings) -> tuple[Tensor, FileStatistics] | None:
    try:
        with place.open("rb") as file:
            end = file.seek(-_LENGTH, os.SEEK_END)
            start = end - int.from_bytes(file.read())
            if start != count * 3 * settings.size**2:
                return None
            file.seek(start)
            trailer = json.loads(file.read(end - start))
        images, told = _mapped(place, count, settings), trailer["statistics"]
        if _checksum(images, told) != trailer["checksum"]:
            return None
        counts = {name: Counter(told[name]) for name in ("sizes", "modes", "done")}
        return images, FileStatistics(**counts, constant=told["constant"], contents=told["contents"])
    except (OSError, KeyError, TypeError, ValueError):
        return None  # not there, or damaged


def _checksum(images: Tensor, stats: Mapping[str, Any]) -> str:
    """CRC-32, which takes a fraction of the time that hashing the pixels for their fingerprint takes."""
    told = f"{tuple(images.shape)} {json.dumps(stats)}"
    return f"{zlib.crc32(images.numpy().data, zlib.crc32(told.encode())):08x}"


def _decode(files: Sequence[Encoded], settings: DecodeSettings, write: Callable[[bytes], object]) -> FileStatistics:
    """Hand on the pixels of one file after another."""
    stats, broken = FileStatistics(), []
    for index, file in enumerate(files):
        try:
            content = file.read_bytes()
            stats.contents.append(_digest(content))
            with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
                size, mode = "×".join(map(str, image.size)), image.mode
                colour, done = rgb(image, settings.background)
        except Exception as error:  # noqa: BLE001  whatever Pillow's parsers make of damage, the file is not readable
            broken.append(f"  {shown(str(file))}: {_reason(error)}")
            continue
        stats.sizes[size] += 1
        stats.modes[mode] += 1
        stats.done.update(done)
        if is_constant(colour):
            stats.constant.append(index)
        if not broken:
            write(np.array(_square(colour, settings)).transpose(2, 0, 1).tobytes())
    if broken:
        more = [f"  and {len(broken) - _NAMED} more"] if len(broken) > _NAMED else []
        lines = [f"{len(broken)} of {len(files)} images cannot be read", *broken[:_NAMED], *more]
        raise UserError(Problem("\n".join(lines)))
    return stats


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
    return cache_home() / "decoded" / f"{key}.pixels"
