"""What the control groups of this process, its containers among them, still allow. Nothing outside of Linux."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def memory_left() -> int | None:
    """Bytes until the nearest limit of this process's group and of those it lies in; None where there is no limit.

    What the system can take back at once (pages of files that are not in use) counts as left.
    """
    left = []
    for folder in _folders("memory"):
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
        if limit is not None:
            left.append(max(0, limit - max(0, (used or 0) - _inactive_file(folder))))
    return min(left, default=None)


def cpu_quota() -> float | None:
    """CPU seconds per second that this process may use; None where there is no limit."""
    quotas = []
    for folder in _folders("cpu"):
        quota = _number(folder / "cpu.max", folder / "cpu.cfs_quota_us")
        period = _number(folder / "cpu.max", folder / "cpu.cfs_period_us", word=-1)
        if quota is not None and quota > 0 and period:  # -1 is no limit in version 1
            quotas.append(quota / period)
    return min(quotas, default=None)


def _folders(controller: str) -> Iterator[Path]:
    """The group of this process and all it lies in, of both versions; a container may show only the outermost."""
    try:
        lines = [line.split(":", 2) for line in OWN.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and controller not in controllers.split(","):
            continue
        top = MOUNT / controller if controllers else MOUNT
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _number(*files: Path, word: int = 0) -> int | None:
    """A word of the first file that is there, as a number; None if it is none, such as "max"."""
    for file in files:
        try:
            return int(file.read_text().split()[word])
        except OSError:
            continue
        except (ValueError, IndexError):
            return None
    return None


def _inactive_file(folder: Path) -> int:
    try:
        pairs = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(pairs.get("total_inactive_file", pairs.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0
