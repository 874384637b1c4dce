"""What this machine has left."""

from __future__ import annotations

from pathlib import Path

import psutil

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Bytes that a container may use, or "max"; absent outside of containers."""


def available_memory() -> int:
    """Bytes of memory that can still be used, in a container no more than its limit."""
    available: int = psutil.virtual_memory().available
    try:
        return min(available, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # there is none, or it is "max"
        return available
