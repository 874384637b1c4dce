"""A session: for as long as it is entered it holds a store, a launcher and its cache, and executes runs there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from petlsparse.cohorts.grouping import cohorts
from petlsparse.launch.dispatch import Dispatch
from petlsparse.launch.events import PENDING, CommandSummary, Event, Planned
from petlsparse.launch.interruption import Interrupted, Interruption
from petlsparse.launch.job import Job
from petlsparse.launch.launcher import Launcher
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.loading import Recipe
from petlsparse.recipe.schema import Run
from petlsparse.searches.search import Batch, Result, results_of
from petlsparse.tracking import provenance
from petlsparse.tracking.compaction import RunStatus, compact, run_statuses
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.record import FINAL, Record
from petlsparse.tracking.snapshot import Snapshot
from petlsparse.tracking.store import Store


@dataclass
class Session:
    """Executes runs in a store that is locked, batch after batch, on workers that stay."""

    recipe: Recipe
    store: Store
    studies: Mapping[str, str]
    launcher: Launcher
    execution: Execution
    retry: int
    interruption: Interruption
    device: str
    cohort_key: Callable[[Run, str, Execution], Hashable | None]
    estimate: Callable[[Run], float] | None
    accepted: Collection[str] | None
    redo: Callable[[Record], bool]
    on_batch: Callable[[Batch], None]
    on_event: Callable[[Event], None]
    limit: int | None
    """How many runs it may still execute; None: any number."""
    statuses: dict[str, str] = field(default_factory=dict)
    """How every run that it was handed stands, by run id."""
    seen: Snapshot | None = None
    """What the store holds; None where that may have changed since somebody looked."""
    then: str = ""
    """What the search asks for when all these have a result; empty where nothing follows."""

    def execute(self, batch: Batch) -> Mapping[str, Result] | None:
        """Bring runs to a result, as far as limit and interruption allow; what a search is told of them."""
        self.on_batch(batch)
        run_ids = tuple(run.run_id for run in batch.runs)
        if self.accepted is not None:
            archive_results(self.store, [run_id for run_id in run_ids if run_id not in self.accepted], self.redo)
        roles = dict.fromkeys(run_ids, batch.role) if batch.role else {}
        self.store.write_plan(
            Plan(self.recipe.name, run_ids, self.recipe.text, self.recipe.resolved, roles, batch.then)
        )
        self.then = batch.then
        seen = Snapshot.of(self.store)
        recorded = run_statuses(seen, self.store.rename_corrupt)
        self.statuses |= {each: recorded[each].status if each in recorded else PENDING for each in run_ids}
        finished = [run_id for run_id in run_ids if self.statuses[run_id] in FINAL]
        todo = [run for run in batch.runs if self.statuses[run.run_id] not in FINAL][: self.limit]

        parts = cohorts(todo, self._cohort_key, workers=self.launcher.capacity, size=self.execution.cohort)
        if estimate := self.estimate:
            parts.sort(key=lambda part: sum(map(estimate, part)), reverse=True)
        self.seen = None if todo or len(recorded) < len(seen.stamps) else seen
        jobs = {job.run_id: job for job in self._jobs(todo, recorded)}
        tasks = [[jobs[run.run_id] for run in part] for part in parts]
        self.on_event(
            Planned(tuple(job.run_id for task in tasks for job in task), len(finished), batch.role, batch.then)
        )
        if self.limit is not None:
            self.limit -= len(todo)
        dispatch = Dispatch(self.store, self.launcher, self.retry, self.interruption, self.on_event)
        try:
            dispatch.execute(tasks)
        finally:
            self.statuses |= dispatch.statuses
        return None if self.interruption.requested else results_of(batch, self.store)

    @property
    def summary(self) -> CommandSummary:
        """How the runs stand, and what stopped the session if something did."""
        return CommandSummary(self.statuses, self.interruption.number, self.then, self.seen)

    def _cohort_key(self, run: Run) -> Hashable | None:
        # What was stopped is not in step with the others any more; what has failed might take them with it.
        checkpoint = self.store.run_dir(run.run_id) / "checkpoint.safetensors"
        untouched = self.statuses[run.run_id] == PENDING and not checkpoint.exists()
        return self.cohort_key(run, self.device, self.execution) if untouched else None

    def _jobs(self, runs: Iterable[Run], recorded: Mapping[str, RunStatus]) -> Iterator[Job]:
        common = provenance.of_command()
        for run in runs:
            yield Job(
                run_id=run.run_id,
                settings=run.settings(),
                recipe=self.recipe.name,
                studies=dict(self.studies),
                store=str(self.store.path.absolute()),
                attempt=recorded[run.run_id].attempts + 1 if run.run_id in recorded else 1,
                execution=self.execution,
                output=self.recipe.output,
                provenance=common,
            )


@contextmanager
def closing(session: Session) -> Iterator[None]:
    """Ends the session's workers and compacts its tables, whatever happens inside.

    The first signal lets workers stop, see `Interruption`; a second one ends what is inside, and is not raised.
    """
    with session.interruption:
        try:
            try:
                with suppress(Interrupted):
                    yield
            finally:
                session.launcher.cancel()
                session.launcher.close()
        finally:
            compact(session.seen or session.store)


def archive_results(store: Store, run_ids: Iterable[str], chosen: Callable[[Record], bool]) -> None:
    """Set aside those results of these runs that are chosen, so that their runs are to do again."""
    for run_id in run_ids:
        record = store.record(run_id, store.rename_corrupt)
        if record is not None and record.final and chosen(record):
            store.archive_result(run_id)
