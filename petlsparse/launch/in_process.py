"""The launcher of `--workers 0`: runs are executed right here, one after the other, and print where it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from petlsparse.launch.job import Job, Outcomes
from petlsparse.launch.worker import run_jobs
from petlsparse.tracking.progress import Progress


class InProcessLauncher:
    """For debugging. `listener` is told the id of a run and how far it is, as nobody can look meanwhile."""

    capacity = sharers = 1

    def __init__(self, device: str, listener: Callable[[str, Progress], None]) -> None:
        self.device, self.listener = device, listener

    def submit(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Execute the jobs; the future is done."""
        future: Future[Outcomes] = Future()
        here = [replace(job, device=self.device, own_output=False) for job in jobs]
        future.set_result(run_jobs(here, lambda progress: self.listener(jobs[0].run_id, progress)))
        return future

    def cancel(self) -> None:
        """Nothing is being executed: whoever calls this would."""

    def close(self) -> None:
        """Nothing is held."""
