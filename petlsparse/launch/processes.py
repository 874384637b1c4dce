"""How worker processes are born and ended: signals and the working directory are none of their business."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from petlsparse.launch.interruption import SIGNALS

if TYPE_CHECKING:
    from multiprocessing.popen_spawn_posix import Popen

SAFE_PATH = "PYTHONSAFEPATH"
"""Python started with `-c`, as workers are, imports from the working directory first: a user's `signal.py`, say."""

_ENVIRONMENT_LOCK = threading.RLock()


class WorkerProcess(SpawnProcess):
    """A process that hears of a signal from its command only, and therefore takes SIGKILL to end."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Popen:  # noqa: N802 - the name that multiprocessing calls
        with shielded():
            return SpawnProcess._Popen(process_obj)

    def terminate(self) -> None:
        """Nothing is lost: what a worker writes is either the old version or the new one."""
        self.kill()


class WorkerContext(SpawnContext):
    """Starts workers; multiprocessing's own in all else."""

    Process = WorkerProcess


@contextmanager
def shielded() -> Iterator[None]:
    """Processes and threads started inside never see one of SIGNALS, not even before their first line of Python.

    A terminal and a batch scheduler send a signal to all processes at once; workers shall hear of it from the stop
    file. Nor do these processes import anything from the working directory.
    """
    with _ENVIRONMENT_LOCK, _safe_path(), _blocked():
        yield


@contextmanager
def _safe_path() -> Iterator[None]:
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


@contextmanager
def _blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # The first process would start it, and that unblocks two signals: so it starts now, and all is blocked again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
