"""Where truly sparse layers become faster than masked ones, measured once per machine and kept in the user's cache.

Processes that ask at the same time wait for the one that measures, and so agree. Where nothing can be kept, or what was
kept is damaged, all works as if nothing had been measured before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import torch
from filelock import FileLock

from petlsparse import __version__
from petlsparse.homes import cache_home
from petlsparse.sparsity.calibration import measured_crossover
from petlsparse.sparsity.geometry import LayerGeometry
from petlsparse.tracking.atomic import write_json
from petlsparse.tracking.provenance import cpu

_measured = cache(measured_crossover)  # a process agrees with itself even where it can keep nothing


def crossover(geometry: LayerGeometry, *, batch_size: int) -> float:
    """The density below which a layer at this geometry is faster as csr; 0 where it never is."""
    depends_on = [
        cpu(),
        f"torch {torch.__version__}",
        f"petlsparse {__version__}",
        f"{torch.get_num_threads()} threads",
        geometry,
        f"batch {batch_size}",
    ]
    measure = partial(_measured, geometry, batch_size)
    return measured_once(cache_home() / "crossovers.json", " | ".join(map(str, depends_on)), measure)


def measured_once(file: Path, key: str, measure: Callable[[], float]) -> float:
    """The number under `key` in a JSON file; measured and added if it is not there."""
    lock = FileLock(f"{file}.lock")
    with suppress(OSError, NotImplementedError):  # filelock raises the latter where files cannot be locked
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        known = _read(file)
        if key not in known:
            known[key] = measure()
            with suppress(OSError):
                write_json(file, known, durable=False)
        return known[key]
    finally:
        lock.release()


def _read(file: Path) -> dict[str, float]:
    try:
        known = {str(key): float(value) for key, value in json.loads(file.read_text()).items()}
        return {key: value for key, value in known.items() if math.isfinite(value)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
