"""Image files decoded to squares of one size, once; later runs read the decoded pixels from the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from petlsparse.data.files.roots import cache_home
from petlsparse.errors import Problem, UserError

_NAMED = 20  # broken files named in the message
_UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


def decoded(files: tuple[Path, ...], size: int) -> Tensor:
    """Images uint8 (N, 3, size, size): the shorter side resized to ``size`` (bicubic), the middle cut out.

    Kept under the names, lengths and modification times of the files. Raises one UserError naming the files that
    cannot be read.
    """
    cached = cache_home() / "decoded" / f"{_identity(files, size)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        return load_file(cached)["images"]
    images = _decode(files, size)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}")
        save_file({"images": images}, partial)
        partial.replace(cached)
    return images


def _decode(files: tuple[Path, ...], size: int) -> Tensor:
    images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    broken = []
    for index, file in enumerate(files):
        try:
            with Image.open(file) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
                square = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
        except _UNREADABLE as error:
            broken.append(f"  {file}: {error}")
            continue
        images[index] = torch.from_numpy(np.array(square)).permute(2, 0, 1)
    if broken:
        more = [f"  and {len(broken) - _NAMED} more"] if len(broken) > _NAMED else []
        lines = [f"{len(broken)} of {len(files)} images cannot be read", *broken[:_NAMED], *more]
        raise UserError(Problem("\n".join(lines)))
    return images


def _identity(files: tuple[Path, ...], size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    for file in files:
        facts = file.stat()
        digest.update(f"{file.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
