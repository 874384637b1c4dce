"""The time that passes, booked on the runs in training: in equal parts where several are trained as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from petlsparse.training.state import TrainState


class Timed(Protocol):
    """A run in training: its state keeps the seconds."""

    state: TrainState


class Timer:
    """Starts when it is made: what comes before the first step (data, model, measurements) is time as well.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._last = clock()
        self._among: Sequence[Timed] = ()

    def share(self, among: Sequence[Timed]) -> None:
        """From the next lap on, time is booked on these."""
        self._among = list(among)

    def lap(self, *, training: bool = False) -> None:
        """Book the time since the last lap. Call it right after the device was waited for, or CUDA time is missed."""
        now = self.clock()
        passed = (now - self._last) / len(self._among)
        self._last = now
        for one in self._among:
            one.state.seconds += passed
            if training:
                one.state.train_seconds += passed
