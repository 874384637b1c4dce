"""Worker processes: whatever ends one, the future of its jobs ends too, and the next jobs find a worker."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from petlsparse.launch import local
from petlsparse.launch.devices import device_slots
from petlsparse.launch.job import Job
from petlsparse.launch.launcher import WorkerDied
from petlsparse.launch.local import LocalLauncher, describe_death
from petlsparse.launch.messages import dump_jobs, load_answer
from petlsparse.launch.serve import COMMAND
from petlsparse.recipe.execution import INSPECT_ONLY
from petlsparse.recipe.recipe_file import Output
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import Trouble
from tests.launch.fakes import STUDIES, fake_run

BEFORE: list[psutil.Process] = []
"""Processes of other tests, such as the one that those of pages are forked from."""


@pytest.fixture
def launcher() -> Iterator[LocalLauncher]:
    BEFORE[:] = psutil.Process().children()
    launcher = LocalLauncher(device_slots("cpu", 1))
    yield launcher
    launcher.close()
    assert processes() == []


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes the job of a run into some trouble."""

    def make(trouble: Trouble = Trouble.NONE) -> Job:
        run, store = fake_run(1, trouble), Store.create(tmp_path / "store")
        return Job(run.run_id, run.settings(), "fake", STUDIES, str(store.path), 1, INSPECT_ONLY, Output())

    return make


def processes() -> list[psutil.Process]:
    """Worker processes of this one, dead ones that nobody waited for included."""
    return [child for child in psutil.Process().children() if child not in BEFORE]


def status(launcher: LocalLauncher, job: Job) -> str:
    return launcher.submit([job]).result(timeout=60)[job.run_id].status


@pytest.mark.parametrize("head_start", [0, 0.05, 0.5])
def test_a_worker_that_dies_with_nothing_to_do_is_replaced(
    launcher: LocalLauncher, job: Callable[..., Job], head_start: float
) -> None:
    assert status(launcher, job()) == "done"
    (process,) = processes()
    process.kill()
    time.sleep(head_start)
    try:
        assert status(launcher, job()) == "done"
    except WorkerDied:  # noticed in the middle of handing over: what a retry is for
        assert status(launcher, job()) == "done"


@pytest.mark.parametrize(
    ("trouble", "same"), [(Trouble.NONE, True), (Trouble.DIVERGE, True), (Trouble.RAISE, False), (Trouble.EXIT, False)]
)
def test_after_a_failure_the_next_job_has_a_fresh_process(
    launcher: LocalLauncher, job: Callable[..., Job], trouble: Trouble, same: bool
) -> None:
    assert status(launcher, job()) == "done"
    (before,) = processes()
    launcher.submit([job(trouble)]).exception(timeout=60)
    assert status(launcher, job()) == "done"
    (after,) = processes()
    assert (before.pid == after.pid) is same


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (Trouble.KILLED, "its worker was killed by SIGKILL: out of memory?"),
        (Trouble.EXIT, "its worker exited with status 3 before the run had ended"),
        (Trouble.EXIT_ZERO_ONCE, "its worker exited with status 0 before the run had ended"),
    ],
)
def test_a_death_is_known_by_its_end_and_told_as_the_system_tells_it(
    launcher: LocalLauncher, job: Callable[..., Job], trouble: Trouble, reason: str
) -> None:
    error = launcher.submit([job(trouble)]).exception(timeout=60)
    assert isinstance(error, WorkerDied)
    assert (str(error), error.transient) == (reason, True)


def test_what_a_worker_said_before_it_could_begin_is_told() -> None:
    assert describe_death(-11, "a warning") == "its worker was killed by SIGSEGV"
    told = describe_death(1, "Traceback ...\nModuleNotFoundError: No module named 'pydantic'\n")
    assert told.endswith(" status 1 before the run had ended: ModuleNotFoundError: No module named 'pydantic'")


def test_a_worker_that_cannot_begin_says_why(
    launcher: LocalLauncher, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-c", "raise SystemExit('no such library')"))
    error = launcher.submit([job()]).exception(timeout=60)
    assert str(error) == "its worker exited with status 1 before the run had ended: no such library"


def test_to_cancel_ends_what_is_executed_and_begins_nothing(launcher: LocalLauncher, job: Callable[..., Job]) -> None:
    future = launcher.submit([job(Trouble.DEAF)])
    while not job(Trouble.DEAF).folder.joinpath("been-here").exists():
        time.sleep(0.01)
    launcher.cancel()
    assert isinstance(future.exception(timeout=60), WorkerDied)
    assert isinstance(launcher.submit([job()]).exception(timeout=60), WorkerDied)
    assert processes() == []


def test_to_close_ends_what_is_executed_too(launcher: LocalLauncher, job: Callable[..., Job]) -> None:
    future = launcher.submit([job(Trouble.DEAF)])
    while not job(Trouble.DEAF).folder.joinpath("been-here").exists():
        time.sleep(0.01)
    launcher.close()
    assert isinstance(future.exception(timeout=0), WorkerDied)


def test_a_worker_imports_nothing_from_the_working_directory(
    launcher: LocalLauncher, job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("signal", "types", "random", "queue", "torch"):  # files a user may well have
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert status(launcher, job()) == "done"


def test_jobs_and_outcomes_may_be_files(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a batch system hands them over."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with (job().folder.parent / "jobs").open("w+b") as jobs:
        jobs.write(dump_jobs([job()]))
        jobs.seek(0)
        answer = subprocess.run(COMMAND, stdin=jobs, stdout=subprocess.PIPE, check=True).stdout
    assert load_answer(answer)[job().run_id].status == "done"
