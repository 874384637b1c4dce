"""One worker process: whatever ends it, its job's future ends too, and a next job finds a worker."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from petlsparse.launch.crew import DEATHS, Outcomes, ProcessWorker, describe_death
from petlsparse.launch.devices import places
from petlsparse.launch.job import Job
from petlsparse.recipe.durations import Duration
from petlsparse.tracking.progress import read_beat
from petlsparse.tracking.store import Store
from tests.launch.fakes import STUDIES, fake_run


@pytest.fixture
def worker() -> Iterator[ProcessWorker]:
    worker = ProcessWorker(places("cpu", 1)[0])
    yield worker
    worker.stop()
    worker.join()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    run, store = fake_run(1), Store.create(tmp_path / "store")
    return Job(run.run_id, run.settings(), "fake", STUDIES, str(store.path), 1, Duration(1, "epochs"))


def ended(worker: ProcessWorker, job: Job, future: Future[Outcomes]) -> bool:
    """Wait as `Dispatch` does; whether there was an outcome."""
    while not future.done():
        if worker.is_lost(read_beat(job.beat)):
            return False
        time.sleep(0.1)
    return future.exception() is None


@pytest.mark.parametrize("head_start", [0, 0.05, 0.5])
def test_a_worker_that_dies_with_nothing_to_do_is_replaced(worker: ProcessWorker, job: Job, head_start: float) -> None:
    assert ended(worker, job, worker.start([job]))
    for process in multiprocessing.active_children():
        process.kill()
    time.sleep(head_start)
    if not ended(worker, job, worker.start([job])):  # noticed in the middle of handing over: what a retry is for
        worker.renew()
        assert ended(worker, job, worker.start([job]))


def test_a_renewed_worker_is_another_process(worker: ProcessWorker, job: Job) -> None:
    assert ended(worker, job, worker.start([job]))
    before = {process.pid for process in multiprocessing.active_children()}
    worker.renew()
    assert ended(worker, job, worker.start([job]))
    after = {process.pid for process in multiprocessing.active_children()}
    assert len(before) == len(after) == 1
    assert before != after


def test_deaths_are_told_as_the_system_tells_them() -> None:
    expired, broken, _ = DEATHS
    assert describe_death(expired("", code=-9)) == "its worker was killed by SIGKILL: out of memory?"
    assert describe_death(expired("", code=-11)) == "its worker was killed by SIGSEGV"
    assert describe_death(expired("", code=3)) == "its worker exited with status 3"
    assert describe_death(broken("")) == describe_death(None) == "its worker ended without a word"


def test_a_worker_imports_nothing_from_the_working_directory(
    worker: ProcessWorker, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("signal", "types", "random", "queue", "torch"):  # files a user may well have
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert ended(worker, job, worker.start([job]))


def test_a_worker_ends_as_soon_as_it_is_told_to(worker: ProcessWorker, job: Job) -> None:
    """Although signals are left to the command: pebble would wait for three seconds between SIGTERM and SIGKILL."""
    assert ended(worker, job, worker.start([job]))
    (process,) = multiprocessing.active_children()
    process.terminate()
    process.join()
    assert process.exitcode == -signal.SIGKILL
