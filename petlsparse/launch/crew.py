"""The workers of a command, behind one small interface: hand over jobs, get a future, replace, dismiss."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from pebble import ProcessExpired, ProcessPool

from petlsparse.launch.devices import Place, places, resolve_device
from petlsparse.launch.events import Event, Progressed
from petlsparse.launch.job import Job, Outcome
from petlsparse.launch.processes import WorkerContext, shielded
from petlsparse.launch.worker import initialise, run_jobs
from petlsparse.tracking.progress import Beat, Progress

Outcomes = dict[str, Outcome]
"""By run id."""

DEATHS = (ProcessExpired, BrokenProcessPool, CancelledError)
"""What a future raises when the worker ended before its jobs did."""

PATIENCE = 10
"""Looks at a missing process before it is taken for dead: pebble, which knows why, needs one or two of them."""


class Worker(Protocol):
    """Executes one job at a time, or several as one."""

    def start(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Begin jobs. The future raises one of DEATHS if the worker ends before them."""

    def is_lost(self, beat: Beat | None) -> bool:
        """Whether the future will never be done, given the progress of the first job. Asked again and again."""

    def renew(self) -> None:
        """Go on with a fresh process."""

    def stop(self) -> None:
        """Begin to end the process, whatever it is doing."""

    def join(self) -> None:
        """Wait for that end."""


class ProcessWorker:
    """A pebble pool of one process.

    One each, because the processes of a larger pool share a pipe and its lock, which a process killed at the wrong
    moment takes with it; and because each has an environment of its own.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.missed = 0
        self.pool = self._pool()

    def start(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Begin jobs, starting the process first if need be."""
        with suppress(OSError):
            jobs[0].beat.unlink(missing_ok=True)
        self.missed = 0
        with shielded():
            if not self.pool.active:  # its process ended while it had nothing to do
                self.renew()
            here = [replace(job, device=self.place.device) for job in jobs]
            future: Future[Outcomes] = self.pool.schedule(run_jobs, [here])
        return future

    def is_lost(self, beat: Beat | None) -> bool:
        """Whether the process is gone and pebble, which takes exit status 0 for the end of an idle one, is silent."""
        alive = {process.pid for process in multiprocessing.active_children()}
        missing = not self.pool.active or (beat is not None and beat.pid not in alive)
        self.missed = self.missed + 1 if missing else 0
        return self.missed > PATIENCE

    def renew(self) -> None:
        """Nothing the old process may have left behind, locks and pipes included, is used again."""
        self.stop()
        self.join()
        self.pool = self._pool()

    def stop(self) -> None:
        """Begin to end the process."""
        self.pool.stop()  # type: ignore[no-untyped-call]

    def join(self) -> None:
        """At once, with SIGKILL."""
        self.pool.join()

    def _pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            initializer=initialise,
            initargs=[dict(self.place.environment)],
            context=WorkerContext(),
        )


class InProcessWorker:
    """For debugging: runs are executed right here, one after the other, and print where the command prints."""

    def __init__(self, device: str, listener: Callable[[str, Progress], None]) -> None:
        self.device, self.listener = device, listener

    def start(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Execute the jobs; the future is done."""
        future: Future[Outcomes] = Future()
        here = [replace(job, device=self.device, own_output=False) for job in jobs]
        future.set_result(run_jobs(here, lambda progress: self.listener(jobs[0].run_id, progress)))
        return future

    def is_lost(self, beat: Beat | None) -> bool:
        """Never."""
        return False

    def renew(self) -> None:
        """There is no other process."""

    def stop(self) -> None:
        """It has stopped."""

    def join(self) -> None:
        """It has ended."""


def hire(device: str, workers: int | None, per_gpu: int, on_event: Callable[[Event], None]) -> Sequence[Worker]:
    """The workers of a command; their processes start with their first job. For 0 workers, this process."""
    if workers == 0:

        def listener(run_id: str, progress: Progress) -> None:
            on_event(Progressed(run_id, progress))

        return [InProcessWorker(resolve_device(device), listener)]
    return [ProcessWorker(place) for place in places(device, workers, per_gpu)]


def dismiss(workers: Sequence[Worker]) -> None:
    """End all workers, at the same time."""
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join()


def describe_death(error: BaseException | None) -> str:
    """Why a worker ended, as far as its parent can tell."""
    code = getattr(error, "exitcode", 0)
    if code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory?" if name == "SIGKILL" else ""
        return f"its worker was killed by {name}{hint}"
    return f"its worker exited with status {code}" if code else "its worker ended without a word"
