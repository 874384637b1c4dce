"""What this machine has left."""

from __future__ import annotations

import psutil

from petlsparse.tracking.cgroups import memory_left


def available_memory() -> int:
    """Bytes of memory that can still be used, in a container no more than what is left of its limit."""
    available: int = psutil.virtual_memory().available
    left = memory_left()
    return available if left is None else min(available, left)
