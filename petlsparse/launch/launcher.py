"""What a session asks of a launcher, whichever it is: jobs in, the future of their outcomes out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from petlsparse.launch.job import Job, Outcomes


class WorkerDied(Exception):
    """A worker ended before its jobs did, or could not begin them; the message says why."""

    def __init__(self, reason: str, *, transient: bool = True) -> None:
        super().__init__(reason)
        self.transient = transient
        """Whether trying again may help."""


class Launcher(Protocol):
    """Executes jobs with `worker.run_jobs`, in processes of its own or here.

    Whatever becomes of a process, the launcher notices, the future of its jobs ends, and the next jobs find a worker.
    """

    @property
    def capacity(self) -> int:
        """How many submissions are executed at a time; no more than these are handed over before one has ended."""

    @property
    def workers_per_device(self) -> int:
        """How many of these share the memory of a device."""

    def submit(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Begin to execute a run, or several to be trained as one, on a device that the launcher chooses.

        The future raises WorkerDied, or UserError where the store cannot be written.
        """

    def cancel(self) -> None:
        """End at once whatever is being executed, and begin nothing any more."""

    def close(self) -> None:
        """Wait for that end, or for that of workers with nothing to do, and free all that they held."""
