"""How far a run is: a small file that its worker rewrites every half second, for other processes."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from petlsparse.tracking.atomic import write_json


@dataclass(frozen=True)
class Progress:
    """Where a run stands: optimizer steps done, of how many, in which epoch (from 1), and the latest metrics."""

    step: int
    total_steps: int
    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluated: bool = False
    """Whether the metrics are of an evaluation just made, at this step."""


@dataclass(frozen=True)
class Heartbeat:
    """A progress file's content: the progress, the process that makes it, and the ids of the runs that make it."""

    pid: int
    progress: Progress
    run_ids: tuple[str, ...] = ()


class ProgressFile:
    """Called with every progress, it writes the first and then at most one per `interval` seconds.

    No fsync and no lock: the file is advice. A process killed while writing leaves the previous content.

    Args:
        path: where to.
        run_ids: the runs whose progress it is; several are trained as one.
        interval: seconds.
    """

    def __init__(self, path: Path, run_ids: Sequence[str] = (), interval: float = 0.5) -> None:
        self.path, self.run_ids, self.interval = path, list(run_ids), interval
        self._next = -math.inf

    def __call__(self, progress: Progress) -> bool:
        """Write it or let it pass; returns which."""
        if (now := time.monotonic()) < self._next:
            return False
        self._next = now + self.interval
        self.write(progress)
        return True

    def write(self, progress: Progress) -> None:
        """Write it, if that is possible, however soon after the last one."""
        finite = {name: value for name, value in progress.metrics.items() if math.isfinite(value)}
        content = [os.getpid(), progress.step, progress.total_steps, progress.epoch, finite, self.run_ids]
        with suppress(OSError):
            write_json(self.path, content, durable=False)


def read_heartbeat(path: Path) -> Heartbeat | None:
    """The latest content, or None when there is none to be read."""
    try:
        pid, step, total_steps, epoch, metrics, run_ids = json.loads(path.read_bytes())
        numbers = all(type(number) is int for number in (pid, step, total_steps, epoch))
        names = isinstance(run_ids, list) and all(isinstance(run_id, str) for run_id in run_ids)
        if not (numbers and names and isinstance(metrics, dict)):
            return None
        return Heartbeat(pid, Progress(step, total_steps, epoch, metrics), tuple(run_ids))
    except (OSError, ValueError, TypeError):
        return None
