"""What happens inside a worker process: one run after another, each from its settings to its record."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from petlsparse.errors import UserError
from petlsparse.launch.interruption import ShouldStop
from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import PLAIN, Execution
from petlsparse.recipe.schema import validate_run
from petlsparse.registry import resolve
from petlsparse.tracking import provenance
from petlsparse.tracking.atomic import TEMPORARY
from petlsparse.tracking.progress import Progress, ProgressFile
from petlsparse.tracking.record import FINAL, Record
from petlsparse.tracking.store import Store

ERROR_CHARACTERS = 4000
"""How much of a traceback's end a record keeps; the log has all of it."""


@dataclass(frozen=True)
class Job:
    """One execution of one run: plain data, so that any launcher can carry it to any process."""

    run_id: str
    settings: dict[str, Any]
    """The run as `Run.settings()` gives it."""
    recipe: str
    studies: Mapping[str, str]
    """study name -> "module:execute"."""
    store: str
    attempt: int
    """Which execution of this run this is, over all commands; 1 for the first."""
    checkpoint_every: Duration
    device: str = "cpu"
    threads: int = 1
    keep: str = "none"
    execution: Execution = PLAIN
    provenance: dict[str, Any] = field(default_factory=dict)
    """What all runs of the command share."""
    own_output: bool = True
    """Whether what the run prints goes to its log."""

    @property
    def folder(self) -> Path:
        """Where everything about the run is."""
        return Store(Path(self.store)).run_dir(self.run_id)

    @property
    def beat(self) -> Path:
        """Its progress file."""
        return self.folder / "progress.json"


@dataclass(frozen=True)
class Outcome:
    """How an execution ended. `passing`: the reason of a failure may not come back (memory, files)."""

    status: str
    error: str | None = None
    passing: bool = False
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0


def initialise(environment: Mapping[str, str]) -> None:
    """Make this process a worker. Called first, so that the environment is set before torch is imported."""
    os.environ.update(environment)
    faulthandler.enable()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def run_one(job: Job, listener: Callable[[Progress], None] = lambda _: None) -> Outcome:
    """Execute a run from its checkpoint, or from the start, and write its record, whatever comes of it.

    Raises UserError when the store cannot be written. What goes wrong in the study is not raised but recorded.
    """
    store, started, clock = Store(Path(job.store)), provenance.utc_now(), time.perf_counter()
    with store.run_lock(job.run_id) as folder:
        for left_by_killed_writer in folder.glob(TEMPORARY):
            left_by_killed_writer.unlink()
        log, beat = folder / "log.txt", ProgressFile(job.beat)
        _append(log, f"--- attempt {job.attempt}, {started}, process {os.getpid()}\n")
        if job.own_output:
            _print_to(log)
        beat.write(Progress(0, 0, 0))  # says which process it is

        def report(progress: Progress) -> None:
            if beat(progress):
                listener(progress)

        try:
            result = _execute(job, folder, report, ShouldStop(store.stop_file))
            final = result.status in FINAL
            store.write_record(
                Record(
                    **_identity(job),
                    status=result.status,
                    attempts=job.attempt if final else job.attempt - 1,
                    metrics=result.metrics,
                    history=[list(row) for row in result.history],
                    cost={"wall_seconds": time.perf_counter() - clock} | result.cost,
                    provenance=_provenance(job, started) | result.provenance_extra,
                ),
                result.rows,
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is this run's result
            reason = str(error) if isinstance(error, UserError) else traceback.format_exc()
            _append(log, reason + "\n")
            store.write_record(failure(job, reason, _provenance(job, started)))
            return Outcome("failed", reason[-ERROR_CHARACTERS:], passing=_may_pass(error))
        finally:
            job.beat.unlink(missing_ok=True)
        if final:
            (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return Outcome(result.status, metrics=result.metrics, seconds=time.perf_counter() - clock)


def failure(job: Job, reason: str, facts: Mapping[str, Any] = MappingProxyType({})) -> Record:
    """The record of an execution that failed."""
    about = {**job.provenance, **facts}
    error = reason[-ERROR_CHARACTERS:]
    return Record(**_identity(job), status="failed", attempts=job.attempt, error=error, provenance=about)


def _identity(job: Job) -> dict[str, Any]:
    return {
        "run_id": job.run_id,
        "study": job.settings["study"],
        "recipe": job.recipe,
        "settings": job.settings,
    }


def _provenance(job: Job, started: str) -> dict[str, Any]:
    worker = provenance.of_worker(job.device, job.threads)
    return {**job.provenance, **worker, "started": started, "finished": provenance.utc_now()}


def _execute(job: Job, folder: Path, report: Callable[[Progress], None], should_stop: Callable[[], bool]) -> Any:
    """The study's RunResult."""
    run = validate_run(job.settings)
    execute = resolve(job.studies, run.study, "study")
    device: Any = job.device
    # Launching needs no torch. A study that does has imported it by now, and expects a torch.device.
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(job.threads)
        device = torch.device(job.device)
    return execute(
        run,
        run_dir=folder,
        device=device,
        progress=report,
        checkpoint_every=job.checkpoint_every,
        keep=job.keep,
        should_stop=should_stop,
        execution=job.execution,
    )


def _may_pass(error: BaseException) -> bool:
    """Whether trying again may help: out of memory, files, a GPU in trouble. An error in the code stays."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OSError", "OutOfMemoryError", "AcceleratorError"})


def _append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def _print_to(log: Path) -> None:
    """From here on everything this process prints, native code and crashes included, goes to `log`."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def _end_with_parent() -> None:
    """A worker must not outlive its command: nobody would hear of its result, and the next one wants its runs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
