"""The launcher of `--workers 0`: runs are executed right here, one after the other, and print where it does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from petlsparse.launch.job import Job, Outcomes
from petlsparse.launch.worker import Listener, run_jobs


class InProcessLauncher:
    """For debugging. `listener` is told which runs are in training and how far: nothing can read files meanwhile."""

    capacity = workers_per_device = 1

    def __init__(self, device: str, listener: Listener) -> None:
        self.device, self.listener = device, listener

    def submit(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Execute the jobs; the future is done."""
        future: Future[Outcomes] = Future()
        here = [replace(job, device=self.device, own_output=False) for job in jobs]
        future.set_result(run_jobs(here, self.listener))
        return future

    def cancel(self) -> None:
        """Nothing to do: jobs are executed within `submit`."""

    def close(self) -> None:
        """Nothing is held."""
