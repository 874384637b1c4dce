"""Handing jobs to a launcher, one or several at once, and dealing with how they end."""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace

from petlsparse.errors import UserError
from petlsparse.launch.events import PENDING, Event, Failed, Finished, Progressed, Retried, Separated, Started
from petlsparse.launch.interruption import Interruption
from petlsparse.launch.job import Job, Outcome, Outcomes, failure
from petlsparse.launch.launcher import Launcher, WorkerDied
from petlsparse.tracking.progress import Heartbeat, read_heartbeat
from petlsparse.tracking.store import Store

POLL_SECONDS = 0.1


@dataclass
class _Task:
    """Jobs that were submitted: one, or several to be trained as one."""

    jobs: Sequence[Job]
    number: int
    """Of those that are executed at the same time."""
    heartbeat: Heartbeat | None = None


class Dispatch:
    """Executes tasks in order, as many at a time as there is room; `statuses` holds what became of their jobs."""

    def __init__(
        self,
        store: Store,
        launcher: Launcher,
        retry: int,
        interruption: Interruption,
        on_event: Callable[[Event], None],
    ) -> None:
        self.store, self.launcher, self.retry = store, launcher, retry
        self.interruption, self.tell = interruption, on_event
        self.statuses: dict[str, str] = {}
        self._free = deque(range(launcher.capacity))
        self._running: dict[Future[Outcomes], _Task] = {}
        self._retried: Counter[str] = Counter()

    def execute(self, tasks: Iterable[Sequence[Job]]) -> None:
        """Until every job has ended, or the running ones have stopped after an interruption."""
        self._pending = deque(tasks)
        while self._running or (self._pending and not self.interruption.requested):
            while self._free and self._pending and not self.interruption.requested:
                self._submit(self._pending.popleft())
            for future in wait(self._running, POLL_SECONDS, FIRST_COMPLETED).done:
                self._on_finished(self._running.pop(future), future)
            self._tell_progress()

    def _submit(self, jobs: Sequence[Job]) -> None:
        task = _Task(jobs, self._free.popleft())
        for job in jobs:
            self.tell(Started(job.run_id, job.attempt, task.number))
        _forget_progress(task)
        self._running[self.launcher.submit(jobs)] = task

    def _tell_progress(self) -> None:
        for task in self._running.values():
            heartbeat = read_heartbeat(task.jobs[0].progress_file)  # that of the first run speaks for all
            if heartbeat is not None and heartbeat.progress.total_steps and heartbeat != task.heartbeat:
                task.heartbeat = heartbeat
                self.tell(Progressed(heartbeat.run_ids, heartbeat.progress))

    def _on_finished(self, task: _Task, future: Future[Outcomes]) -> None:
        try:
            outcomes = future.result()
        except UserError:  # the store cannot be written: no run can go on
            raise
        except WorkerDied as error:
            outcomes = self._on_worker_death(task, str(error), transient=error.transient)
        except Exception:  # noqa: BLE001 - an error in the launcher must not end the other runs
            outcomes = self._on_worker_death(task, traceback.format_exc(), transient=False)
        self._account(task, outcomes)

    def _on_worker_death(self, task: _Task, reason: str, *, transient: bool) -> Outcomes:
        """Outcomes in place of those that a worker did not hand over."""
        _forget_progress(task)
        outcomes = {}
        for job in task.jobs:
            record = self.store.record(job.run_id, self.store.rename_corrupt)
            if record is not None and record.final:  # it had just finished
                outcomes[job.run_id] = Outcome(record.status, metrics=record.metrics)
            elif len(task.jobs) > 1 or self.interruption.requested:
                outcomes[job.run_id] = Outcome(PENDING, reason)
            else:
                with self.store.run_lock(job.run_id):
                    self.store.write_record(failure(job, reason))
                outcomes[job.run_id] = Outcome("failed", reason, transient)
        return outcomes

    def _account(self, task: _Task, outcomes: Outcomes) -> None:
        self._free.append(task.number)
        left = []
        for job in task.jobs:
            outcome = outcomes[job.run_id]
            if outcome.status == PENDING:
                left.append(job)
                continue
            self.statuses[job.run_id] = outcome.status
            if outcome.status != "failed":
                self.tell(Finished(job.run_id, outcome.status, outcome.metrics, outcome.seconds))
            elif outcome.transient and self._retried[job.run_id] < self.retry and not self.interruption.requested:
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
            job.add_to_log(f"alone from here; together with others: {last_line}")
        self._pending.extendleft([job] for job in reversed(jobs))
        self.tell(Separated(tuple(job.run_id for job in jobs), reason))


def _forget_progress(task: _Task) -> None:
    """Remove what another worker left."""
    with suppress(OSError):
        task.jobs[0].progress_file.unlink(missing_ok=True)
