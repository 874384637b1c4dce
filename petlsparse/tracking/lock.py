"""One command writes a store at a time; the others learn who does.

The lock is the operating system's (released when its holder dies, however it dies), so it never has to be cleaned up.
Only what it says about the holder lives in a file of its own, and that is advice.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from petlsparse.errors import Problem, UserError
from petlsparse.tracking.atomic import write_json
from petlsparse.tracking.provenance import utc_now

POLL_SECONDS = 0.25
HOLDER = ".holder.json"


@dataclass(frozen=True)
class Holder:
    """The process that holds a store's lock, as it introduced itself."""

    pid: int
    host: str
    command: str
    since: str
    """UTC, ISO 8601."""

    @classmethod
    def this_process(cls) -> Holder:
        """An introduction of the calling process."""
        return cls(os.getpid(), socket.gethostname(), shlex.join(sys.argv), utc_now())

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended. Nothing is known about processes of another host."""
        return self.host == socket.gethostname() and not psutil.pid_exists(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} ({self.command})"


@contextmanager
def hold(
    folder: Path, *, wait: float | None = None, on_wait: Callable[[Holder | None], None] = lambda _: None
) -> Iterator[None]:
    """Hold the store at `folder` alone.

    While another command holds it, call `on_wait` once with its holder (None: unknown), then wait up to `wait`
    seconds (None: for ever). Raises UserError that names the holder when the time is up, and one when the folder
    cannot be locked.
    """
    lock, introduction = FileLock(folder / ".lock"), folder / HOLDER
    try:
        acquire(lock)
    except Timeout:
        on_wait(holder_of(folder))
        try:
            acquire(lock, -1 if wait is None else wait)
        except Timeout:
            raise UserError(_held(folder, holder_of(folder))) from None
    try:
        with suppress(OSError):  # advice, no more
            write_json(introduction, asdict(Holder.this_process()), durable=False)
        yield
    finally:
        with suppress(OSError):
            introduction.unlink(missing_ok=True)
        lock.release()


def acquire(lock: FileLock, timeout: float = 0) -> None:
    """Take `lock` within so many seconds (-1: whenever), or raise Timeout; UserError where it cannot be taken."""
    try:
        lock.acquire(timeout=timeout, poll_interval=POLL_SECONDS)
    except Timeout:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(Problem(f"cannot lock the results folder: {reason}", where=lock.lock_file)) from error


def holder_of(folder: Path) -> Holder | None:
    """Who holds the store at `folder`, as far as is known; one that was killed is still named: see `Holder.gone`."""
    try:
        return Holder(**json.loads((folder / HOLDER).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _held(folder: Path, holder: Holder | None) -> Problem:
    message = f"the results folder is in use by {holder or 'another process'}"
    if holder is None or holder.gone:
        # Possible only where locks outlive their holders: file systems without locks, on which filelock falls back
        # to a marker file, or a network file system that has not noticed a client's death.
        message += f"; if nothing uses it any more, delete {folder / '.lock'}"
    return Problem(message, where=str(folder))
