"""Handing jobs to workers, one or several at once, and dealing with how they end."""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from petlsparse.errors import UserError
from petlsparse.launch.crew import DEATHS, Outcomes, Worker, describe_death
from petlsparse.launch.events import PENDING, Event, Failed, Finished, Progressed, Retried, Separated, Started
from petlsparse.launch.interruption import Interruption
from petlsparse.launch.job import Job, Outcome, failure
from petlsparse.tracking.progress import Progress, read_beat
from petlsparse.tracking.store import Store

POLL_SECONDS = 0.1


@dataclass
class _Task:
    """Jobs in the hands of a worker: one, or several to be trained as one."""

    jobs: Sequence[Job]
    worker: Worker
    number: int
    progress: Progress | None = None

    @property
    def beat(self) -> Path:
        """The progress file: that of the first run speaks for all."""
        return self.jobs[0].beat


class Dispatch:
    """Executes tasks in order on whichever worker is free; `statuses` holds what became of their jobs."""

    def __init__(
        self,
        store: Store,
        crew: Sequence[Worker],
        retry: int,
        interruption: Interruption,
        on_event: Callable[[Event], None],
    ) -> None:
        self.store, self.retry = store, retry
        self.interruption, self.tell = interruption, on_event
        self.statuses: dict[str, str] = {}
        self._idle = deque(enumerate(crew))
        self._running: dict[Future[Outcomes], _Task] = {}
        self._retried: Counter[str] = Counter()

    def execute(self, tasks: Iterable[Sequence[Job]]) -> None:
        """Until every job has ended, or the running ones have stopped after an interruption."""
        self._pending = deque(tasks)
        while self._running or (self._pending and not self.interruption.requested):
            while self._idle and self._pending and not self.interruption.requested:
                self._start(self._pending.popleft())
            for future in wait(self._running, POLL_SECONDS, FIRST_COMPLETED).done:
                self._settle(self._running.pop(future), future)
            self._look()

    def _start(self, jobs: Sequence[Job]) -> None:
        number, worker = self._idle.popleft()
        for job in jobs:
            self.tell(Started(job.run_id, job.attempt, number))
        self._running[worker.start(jobs)] = _Task(jobs, worker, number)

    def _look(self) -> None:
        """Pass on progress, and notice workers that are lost."""
        for future, task in list(self._running.items()):
            beat = read_beat(task.beat)
            if beat is not None and beat.progress.total_steps and beat.progress != task.progress:
                task.progress = beat.progress
                self.tell(Progressed(task.jobs[0].run_id, beat.progress))
            if not future.done() and task.worker.is_lost(beat):
                del self._running[future]
                self._bury(task, describe_death(None))

    def _settle(self, task: _Task, future: Future[Outcomes]) -> None:
        try:
            outcomes = future.result()
        except UserError:  # the store cannot be written: no run can go on
            raise
        except DEATHS as error:
            self._bury(task, describe_death(error))
        except Exception:  # noqa: BLE001 - an error around the study must not end the other runs
            self._bury(task, traceback.format_exc(), passing=False)
        else:
            if any(outcome.status in ("failed", PENDING) for outcome in outcomes.values()):
                # A failure may leave a GPU or the memory in a bad state: the next run gets a fresh process.
                task.worker.renew()
            self._account(task, outcomes)

    def _bury(self, task: _Task, reason: str, *, passing: bool = True) -> None:
        """A worker ended without handing over outcomes."""
        task.worker.renew()
        with suppress(OSError):
            task.beat.unlink(missing_ok=True)
        outcomes = {}
        for job in task.jobs:
            record = self.store.record(job.run_id, self.store.set_aside)
            if record is not None and record.final:  # it had just finished
                outcomes[job.run_id] = Outcome(record.status, metrics=record.metrics)
            elif len(task.jobs) > 1 or self.interruption.requested:
                outcomes[job.run_id] = Outcome(PENDING, reason)
            else:
                with self.store.run_lock(job.run_id):
                    self.store.write_record(failure(job, reason))
                outcomes[job.run_id] = Outcome("failed", reason, passing)
        self._account(task, outcomes)

    def _account(self, task: _Task, outcomes: Outcomes) -> None:
        self._idle.append((task.number, task.worker))
        left = []
        for job in task.jobs:
            outcome = outcomes[job.run_id]
            if outcome.status == PENDING:
                left.append(job)
                continue
            self.statuses[job.run_id] = outcome.status
            if outcome.status != "failed":
                self.tell(Finished(job.run_id, outcome.status, outcome.metrics, outcome.seconds))
            elif outcome.passing and self._retried[job.run_id] < self.retry and not self.interruption.requested:
                self._retried[job.run_id] += 1
                self._pending.appendleft([replace(job, attempt=job.attempt + 1)])
                self.tell(Retried(job.run_id, outcome.error or ""))
            else:
                self.tell(Failed(job.run_id, outcome.error or ""))
        if left and not self.interruption.requested:
            self._separate(left, outcomes[left[0].run_id].error or "")

    def _separate(self, jobs: Sequence[Job], reason: str) -> None:
        """Runs that failed together may have failed for the sake of one: each goes on alone, no attempt is counted."""
        last_line = reason.strip().rpartition("\n")[-1]
        for job in jobs:
            job.note(f"alone from here; together with others: {last_line}")
        self._pending.extendleft([job] for job in reversed(jobs))
        self.tell(Separated(tuple(job.run_id for job in jobs), reason))
