"""The log of a run: what happens to it and what it prints. It is advice: a full disk costs lines, not the run."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from petlsparse.tracking.progress import Progress
from petlsparse.tracking.tables import METRIC_COLUMNS


def add_line(log: Path, text: str) -> None:
    """Add a line to a log, if that is possible."""
    with suppress(OSError), log.open("ab", buffering=0) as file:  # a cohort adds hundreds at a time
        file.write(f"{text}\n".encode(errors="backslashreplace"))


def print_to(log: Path) -> None:
    """From here on everything this process prints, native code and crashes included, goes to `log`, if possible."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    with suppress(OSError):
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        os.close(descriptor)


_PERCENTAGES = frozenset(column.name for column in METRIC_COLUMNS if column.unit == "%")


def evaluation_line(progress: Progress) -> str:
    """`12:03:44 epoch 3, step 120 of 400: train lr 0.1, train loss 0.31, train accuracy 91.2 %, val ...`."""
    values = ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}{' %' if f'{name}_last' in _PERCENTAGES else ''}"
        for name, value in progress.metrics.items()
    )
    now = datetime.now().astimezone()
    return f"{now:%H:%M:%S} epoch {progress.epoch}, step {progress.step} of {progress.total_steps}: {values}"
