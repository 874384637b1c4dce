"""A signal once: workers stop at their next step. A signal twice: they are ended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNAL_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
SIGNALS = tuple(signal.Signals[name] for name in SIGNAL_NAMES if name in signal.Signals.__members__)
"""What asks a command to end, alike: Ctrl-C, a batch scheduler or `timeout`, a closed terminal, and what schedulers
can be told to send some time before their own."""

CHECK_SECONDS = 0.1


class Interrupted(BaseException):
    """A signal asks to end at once. No Exception, so that nothing takes it for an error of a run."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interruption:
    """While entered, the first of SIGNALS creates `stop_file`, and the next raises Interrupted.

    What was ignored before, as SIGHUP is under `nohup`, stays ignored. Outside the main thread signals are left alone;
    the file still works.
    """

    def __init__(self, stop_file: Path) -> None:
        self.stop_file = stop_file
        self.number: int | None = None
        """The first signal, once it has come."""
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def requested(self) -> bool:
        """Whether there was a signal."""
        return self.number is not None

    def __enter__(self) -> Interruption:
        self.stop_file.unlink(missing_ok=True)
        self._previous = _handle(self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._previous)
        self.stop_file.unlink(missing_ok=True)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise Interrupted(number)
        self.number = number
        try:
            self.stop_file.touch()
        except OSError:  # no run would hear of it
            raise Interrupted(number) from None


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """One of SIGNALS raises Interrupted, so that locks are released and the terminal is left as it was found."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    previous = _handle(end)
    try:
        yield
    finally:
        _restore(previous)


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


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, signal._HANDLER]:
    """Let `handler` be called for SIGNALS that are not ignored. Returns what was before; nothing in other threads."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    return {number: signal.signal(number, handler) for number in heard}


def _restore(handlers: Mapping[signal.Signals, signal._HANDLER]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
