"""Handing jobs to workers and dealing with how they end."""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace

from petlsparse.errors import UserError
from petlsparse.launch.crew import DEATHS, Worker, describe_death, dismiss
from petlsparse.launch.events import Event, Failed, Finished, Progressed, Retried, Started
from petlsparse.launch.interruption import Interruption
from petlsparse.launch.worker import Job, Outcome, failure
from petlsparse.tracking.progress import Progress, read_beat
from petlsparse.tracking.store import Store

POLL_SECONDS = 0.1


@dataclass
class _Task:
    """A job in the hands of a worker."""

    job: Job
    worker: Worker
    number: int
    progress: Progress | None = None


class Dispatch:
    """Executes jobs in order on whichever worker is free; `statuses` holds what became of them."""

    def __init__(
        self,
        store: Store,
        crew: Sequence[Worker],
        retry: int,
        interruption: Interruption,
        on_event: Callable[[Event], None],
    ) -> None:
        self.store, self.crew, self.retry = store, crew, retry
        self.interruption, self.tell = interruption, on_event
        self.statuses: dict[str, str] = {}
        self._idle = deque(enumerate(crew))
        self._running: dict[Future[Outcome], _Task] = {}
        self._retried: Counter[str] = Counter()

    def execute(self, jobs: Sequence[Job]) -> None:
        """Until every job has ended, or the running ones have stopped after an interruption."""
        self._pending = deque(jobs)
        try:
            while self._running or (self._pending and not self.interruption.requested):
                while self._idle and self._pending and not self.interruption.requested:
                    self._start(self._pending.popleft())
                for future in wait(self._running, POLL_SECONDS, FIRST_COMPLETED).done:
                    self._settle(self._running.pop(future), future)
                self._look()
        finally:
            dismiss(self.crew)

    def _start(self, job: Job) -> None:
        number, worker = self._idle.popleft()
        self.tell(Started(job.run_id, job.attempt, number))
        self._running[worker.start(job)] = _Task(job, worker, number)

    def _look(self) -> None:
        """Pass on progress, and notice workers that are lost."""
        for future, task in list(self._running.items()):
            beat = read_beat(task.job.beat)
            if beat is not None and beat.progress.total_steps and beat.progress != task.progress:
                task.progress = beat.progress
                self.tell(Progressed(task.job.run_id, beat.progress))
            if not future.done() and task.worker.is_lost(beat):
                del self._running[future]
                self._bury(task, describe_death(None))

    def _settle(self, task: _Task, future: Future[Outcome]) -> None:
        try:
            outcome = future.result()
        except UserError:  # the store cannot be written: no run can go on
            raise
        except DEATHS as error:
            self._bury(task, describe_death(error))
        except Exception:  # noqa: BLE001 - an error around the study must not end the other runs
            self._bury(task, traceback.format_exc(), passing=False)
        else:
            if outcome.status == "failed":
                # A failure may leave a GPU or the memory in a bad state: the next run gets a fresh process.
                task.worker.renew()
            self._idle.append((task.number, task.worker))
            self._account(task.job, outcome)

    def _bury(self, task: _Task, reason: str, *, passing: bool = True) -> None:
        """A worker ended without handing over an outcome."""
        task.worker.renew()
        task.job.beat.unlink(missing_ok=True)
        self._idle.append((task.number, task.worker))
        record = self.store.record(task.job.run_id)
        if record is not None and record.final:  # it had just finished
            self._account(task.job, Outcome(record.status, metrics=record.metrics))
        elif not self.interruption.requested:
            with self.store.run_lock(task.job.run_id):
                self.store.write_record(failure(task.job, reason))
            self._account(task.job, Outcome("failed", reason, passing))

    def _account(self, job: Job, outcome: Outcome) -> None:
        self.statuses[job.run_id] = outcome.status
        if outcome.status != "failed":
            self.tell(Finished(job.run_id, outcome.status, outcome.metrics, outcome.seconds))
        elif outcome.passing and self._retried[job.run_id] < self.retry and not self.interruption.requested:
            self._retried[job.run_id] += 1
            self._pending.appendleft(replace(job, attempt=job.attempt + 1))
            self.tell(Retried(job.run_id, outcome.error or ""))
        else:
            self.tell(Failed(job.run_id, outcome.error or ""))
