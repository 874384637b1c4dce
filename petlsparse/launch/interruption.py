"""Ctrl-C once: workers stop at their next step. Ctrl-C twice: they are ended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CHECK_SECONDS = 0.1


class Interruption:
    """While entered, the first SIGINT or SIGTERM creates `stop_file`, and the next raises KeyboardInterrupt.

    Outside the main thread signals are left alone; the file still works.
    """

    def __init__(self, stop_file: Path) -> None:
        self.stop_file = stop_file
        self.requested = False
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Interruption:
        self.stop_file.unlink(missing_ok=True)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self.stop_file.unlink(missing_ok=True)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self.stop_file.touch()


class ShouldStop:
    """Whether `stop_file` has appeared. Cheap enough to ask at every step: it looks at most ten times a second."""

    def __init__(self, stop_file: Path) -> None:
        self.stop_file = stop_file
        self._next = 0.0
        self._stop = False

    def __call__(self) -> bool:
        """Look, if it is time to; once seen, it stays."""
        if not self._stop and (now := time.monotonic()) >= self._next:
            self._next = now + CHECK_SECONDS
            self._stop = self.stop_file.exists()
        return self._stop


@contextmanager
def shielded() -> Iterator[None]:
    """Processes and threads started inside never see Ctrl-C, not even before their first line of Python.

    A terminal sends SIGINT to all processes at once; workers shall hear of it from the stop file only.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # otherwise the first process starts it, and that ends with SIGINT unblocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
