"""What a worker does with jobs: a run, or several as one, from settings to records."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petlsparse.errors import UserError
from petlsparse.launch.events import PENDING
from petlsparse.launch.interruption import ShouldStop
from petlsparse.launch.job import ERROR_CHARACTERS, Job, Outcome, Outcomes, failure
from petlsparse.launch.log import add_line, evaluation_line, print_to
from petlsparse.recipe.schema import validate_run
from petlsparse.registry import resolve
from petlsparse.tracking import provenance
from petlsparse.tracking.atomic import TEMPORARY
from petlsparse.tracking.progress import Progress, ProgressFile
from petlsparse.tracking.record import FINAL
from petlsparse.tracking.store import Store

if TYPE_CHECKING:
    from petlsparse.studies.study import Study
    from petlsparse.training.result import RunResult

Listener = Callable[[Sequence[str], Progress], None]
"""Told the ids of runs in training as one, and how far they are."""


def run_jobs(jobs: Sequence[Job], listener: Listener = lambda *_: None) -> Outcomes:
    """Execute a run from its checkpoint, or from the start, or several as one; each record is written with its result.

    Each run has its evaluations in its own log; that of the first gets what is printed, its progress file the progress
    of those in training, which are all unless they are trained in parts. What goes wrong with one run is its result.
    What goes wrong with several says nothing about any one of them: those without a result are "pending" in what is
    returned, and nothing is recorded.

    Returns:
        Outcomes by run id.

    Raises:
        UserError: the store cannot be written. What goes wrong in the study is not raised.
    """
    first, store, started, clock = jobs[0], Store(Path(jobs[0].store)), provenance.utc_now(), time.perf_counter()
    outcomes: dict[str, Outcome] = {}
    pending = Outcome(PENDING, "those that it was trained with ended without a result for it")

    def done(index: int, result: RunResult) -> None:
        seconds = (time.perf_counter() - clock) / len(jobs)  # for a result that does not say what was booked on it
        outcomes[jobs[index].run_id] = _recorded(jobs[index], store, result, started, seconds)

    with ExitStack() as claims:
        for job in jobs:
            claims.enter_context(_claimed_folder(job, store))
            if len(jobs) > 1:
                job.add_to_log(
                    f"together with {len(jobs) - 1} other runs; what they print is in the log of {first.run_id}"
                )
        report = claims.enter_context(_Reporting(jobs, listener))
        try:
            runs = [validate_run(job.settings) for job in jobs]
            study: Study = resolve(first.studies, runs[0].study, "study")
            study.execute(
                runs,
                [job.folder for job in jobs],
                device=first.device,
                threads=first.threads,
                execution=first.execution,
                output=first.output,
                on_start=report.begin,
                progress=report,
                done=done,
                should_stop=ShouldStop(store.stop_file),
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the next runs are to be executed
            reason = _reason(error)
            first.add_to_log(reason)
            pending = Outcome(PENDING, reason)
            if len(jobs) == 1 and not outcomes:  # a result that is recorded stays
                store.write_record(failure(first, reason, _about(first, started)))
                outcomes[first.run_id] = Outcome("failed", reason[-ERROR_CHARACTERS:], transient=_is_transient(error))
    return {job.run_id: outcomes.get(job.run_id, pending) for job in jobs}


@contextmanager
def _claimed_folder(job: Job, store: Store) -> Iterator[None]:
    """The run's folder is ours alone, without what a killed writer left, and the log says who is at work."""
    with store.run_lock(job.run_id) as folder:
        for left_by_killed_writer in folder.glob(TEMPORARY):
            with suppress(OSError):
                left_by_killed_writer.unlink()
        job.add_to_log(f"--- attempt {job.attempt}, {provenance.utc_now()}, process {os.getpid()}")
        yield


class _Reporting:
    """Takes the progress of any of the jobs: a line for every evaluation to its log, all else to the first one's file.

    What is printed goes to the first one's log. The first content says which process is at work, and on what.
    """

    def __init__(self, jobs: Sequence[Job], listener: Listener) -> None:
        self.jobs, self.listener = jobs, listener
        if jobs[0].own_output:
            print_to(jobs[0].log)
        self.file = ProgressFile(jobs[0].progress_file)
        self.begin(range(len(jobs)))

    def begin(self, indices: Sequence[int]) -> None:
        """These are at hand from here on."""
        self.file.run_ids = [self.jobs[i].run_id for i in indices]
        self.file.write(Progress(0, 0, 0))

    def __call__(self, index: int, progress: Progress) -> None:
        """How far a run is, and with it all at hand."""
        if progress.evaluated:
            add_line(self.jobs[index].log, evaluation_line(progress))
        if self.file(progress):
            self.listener(self.file.run_ids, progress)

    def __enter__(self) -> _Reporting:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.file.path.unlink(missing_ok=True)


def _recorded(job: Job, store: Store, result: RunResult, started: str, seconds: float) -> Outcome:
    """Write down the study's RunResult; a result needs no checkpoint any more."""
    final = result.status in FINAL
    record = job.record(
        result.status,
        {**_about(job, started), **result.provenance_extra},
        attempts=job.attempt if final else job.attempt - 1,
        metrics=result.metrics,
        history=[list(row) for row in result.history],
        cost={"wall_seconds": seconds} | result.cost,
    )
    store.write_record(record, result.rows)
    if final:
        with suppress(OSError):  # the next command tidies up
            job.checkpoint.unlink(missing_ok=True)
    return Outcome(result.status, metrics=result.metrics, seconds=record.cost["wall_seconds"] or 0.0)


def _about(job: Job, started: str) -> dict[str, Any]:
    """Provenance that a worker knows."""
    return {**provenance.of_worker(job.device, job.threads), "started": started, "finished": provenance.utc_now()}


def _reason(error: BaseException) -> str:
    """What to tell of an error: a user's in its own words, any other with its traceback."""
    return str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error))


def _is_transient(error: BaseException) -> bool:
    """Whether trying again may help: out of memory, files, a GPU in trouble. An error in the code stays."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OSError", "OutOfMemoryError", "AcceleratorError"})
