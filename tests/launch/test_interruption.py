"""Signals of every kind at every moment: what is finished stays, and the same command again completes the rest."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from petlsparse.launch.interruption import Interrupted, Interruption, ShouldStop
from petlsparse.tracking.equality import differences
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import Trouble
from tests.launch.fakes import Executed, fake_run, fake_runs

FAKES = Path(__file__).with_name("fakes.py")
SLOW = [Trouble.SLOW] * 4
PATIENT = [Trouble.NONE, Trouble.NONE, Trouble.PATIENT, Trouble.PATIENT, Trouble.NONE]
"""Both workers are busy when the third and the fourth wait for a signal; the fifth is not started."""


class Command:
    """A command with two workers, in a process group of its own."""

    def __init__(self, store: Path, troubles: Sequence[Trouble], cohort: str) -> None:
        self.store = store
        self.process = subprocess.Popen(
            [sys.executable, str(FAKES), str(store), cohort, *(str(int(trouble)) for trouble in troubles)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def signal_group(self, number: signal.Signals) -> None:
        """What a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def workers(self) -> list[psutil.Process]:
        """Processes executing runs or about to."""
        return [child for child in psutil.Process(self.process.pid).children() if is_worker(child)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def wait_until_both_wait(self, finished: int) -> None:
        """Some runs are finished, and two more have come half way, where patient and deaf ones stay."""
        self.wait_for(
            lambda: count(self.store, "record.json") == finished and count(self.store, "been-here") == finished + 2
        )

    def end(self) -> tuple[str, str]:
        """Last line of the output, and the errors."""
        output, errors = self.process.communicate(timeout=60)
        return output.splitlines()[-1], errors


def is_worker(process: psutil.Process) -> bool:
    try:
        return "petlsparse.launch.serve" in process.cmdline()
    except psutil.Error:  # just ended
        return False


def statuses(store: Path) -> list[str]:
    """In the order of the plan."""
    return [record.status for record in Store(store).records()]


def count(store: Path, name: str) -> int:
    """Runs with such a file."""
    return len(list(store.glob(f"runs/*/{name}")))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts commands on one store."""
    started: list[Command] = []

    def start(troubles: Sequence[Trouble], cohort: str = "off") -> Command:
        started.append(Command(tmp_path / "store", troubles, cohort))
        return started[-1]

    yield start
    for each in started:
        each.signal_group(signal.SIGKILL)
        each.process.communicate()


@pytest.fixture
def undisturbed(tmp_path: Path) -> Callable[[Sequence[Trouble]], Path]:
    """Executes the same runs without any disturbance."""

    def execute(troubles: Sequence[Trouble]) -> Path:
        store = Store.create(tmp_path / "undisturbed")
        for run in fake_runs(troubles):
            store.run_dir(run.run_id).mkdir()
            (store.run_dir(run.run_id) / "been-here").touch()
        assert set(Executed(fake_runs(troubles), store.path, workers=0).statuses) == {"done"}
        return store.path

    return execute


@pytest.mark.slow
def test_killed_at_random_moments_and_repeated_gives_the_undisturbed_tables(
    command: Callable[..., Command], tmp_path: Path, undisturbed: Callable[..., Path]
) -> None:
    moments = random.Random(0)
    for _ in range(5):
        running = command(SLOW)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(timeout=moments.uniform(0.5, 3))
        running.signal_group(signal.SIGKILL)
        running.process.wait()
    assert command(SLOW).end() == ("complete {'done': 4}", "")
    assert differences(tmp_path / "store", undisturbed(SLOW)) == []


def test_killed_workers_cost_attempts_only(
    command: Callable[..., Command], tmp_path: Path, undisturbed: Callable[..., Path]
) -> None:
    running = command(PATIENT)
    running.wait_until_both_wait(finished=2)
    for worker in running.workers():
        worker.kill()
    assert running.end() == ("complete {'done': 5}", "")
    assert [record.attempts for record in Store(tmp_path / "store").records()] == [1, 1, 2, 2, 1]
    assert differences(tmp_path / "store", undisturbed(PATIENT)) == []


def test_workers_end_with_a_killed_command(command: Callable[..., Command]) -> None:
    running = command([Trouble.DEAF] * 2)
    running.wait_until_both_wait(finished=0)
    workers = running.workers()
    assert len(workers) == 2
    running.process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert (len(gone), alive) == (2, [])


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        (signal.SIGINT, True),  # Ctrl-C
        (signal.SIGTERM, False),  # `kill`
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),  # a batch scheduler, or `timeout`
        pytest.param(signal.SIGHUP, True, marks=pytest.mark.slow),  # a terminal is closed
        pytest.param(signal.SIGUSR1, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR2, True, marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_runs_at_their_next_step_and_keeps_what_is_finished(
    command: Callable[..., Command],
    tmp_path: Path,
    undisturbed: Callable[..., Path],
    number: signal.Signals,
    to_all: bool,
) -> None:
    running = command(PATIENT)
    running.wait_until_both_wait(finished=2)
    if to_all:
        running.signal_group(number)
    else:
        running.process.send_signal(number)
    assert running.end() == ("interrupted {'done': 2, 'interrupted': 2, 'pending': 1}", "")
    assert statuses(tmp_path / "store") == ["done", "done", "interrupted", "interrupted"]
    assert count(tmp_path / "store", "checkpoint.safetensors") == 2
    assert (tmp_path / "store" / "runs.parquet").exists()
    assert not (tmp_path / "store" / ".stop").exists()
    assert command(PATIENT).end() == ("complete {'done': 5}", "")
    assert [record.attempts for record in Store(tmp_path / "store").records()] == [1] * 5
    assert differences(tmp_path / "store", undisturbed(PATIENT)) == []


def test_ctrl_c_while_workers_are_starting_is_quiet(command: Callable[..., Command]) -> None:
    running = command(SLOW)
    running.wait_for(lambda: len(running.workers()) == 2)
    running.signal_group(signal.SIGINT)
    line, errors = running.end()
    assert line.startswith("interrupted ")
    assert errors == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_runs_that_do_not_listen(
    command: Callable[..., Command], tmp_path: Path, number: signal.Signals
) -> None:
    running = command([Trouble.DEAF] * 3)
    running.wait_until_both_wait(finished=0)
    running.signal_group(number)
    running.wait_for(lambda: (tmp_path / "store" / ".stop").exists())
    running.signal_group(number)
    assert running.end() == ("interrupted {'pending': 3}", "")
    assert count(tmp_path / "store", "checkpoint.safetensors") == 2


def test_in_this_process_ctrl_c_stops_at_the_next_step_too(tmp_path: Path) -> None:
    runs = [fake_run(seed, Trouble.SLOW) for seed in (1, 2)]

    def interrupt(event: object) -> None:
        if type(event).__name__ == "Progressed":
            signal.raise_signal(signal.SIGINT)

    executed = Executed(runs, tmp_path / "store", workers=0, on_event=interrupt)
    assert executed.summary.interrupted
    assert executed.statuses == ["interrupted", "pending"]
    assert Executed(runs, tmp_path / "store", workers=0).statuses == ["done", "done"]


def test_handlers_are_restored_and_an_old_stop_file_is_removed(tmp_path: Path) -> None:
    stop_file = tmp_path / ".stop"
    stop_file.touch()
    before = signal.getsignal(signal.SIGINT)
    with Interruption(stop_file) as interruption:
        assert not ShouldStop(stop_file)()
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        assert ShouldStop(stop_file)()
        assert interruption.number == signal.SIGINT
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before
    assert not stop_file.exists()


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `nohup`
    try:
        with Interruption(tmp_path / ".stop") as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert not interruption.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_where_no_stop_file_can_be_made_the_first_signal_ends_at_once(tmp_path: Path) -> None:
    with Interruption(tmp_path / "gone" / ".stop") as interruption:
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        assert interruption.number == signal.SIGTERM


# -- runs that are trained as one ------------------------------------------------------------------------------------

COHORT = [Trouble.NONE, Trouble.PATIENT, Trouble.NONE, Trouble.PATIENT]
"""Two cohorts of two, each of which waits half way for a signal."""


def test_a_signal_stops_all_that_are_trained_as_one(
    command: Callable[..., Command], tmp_path: Path, undisturbed: Callable[..., Path]
) -> None:
    running = command(COHORT, "auto")
    running.wait_for(lambda: count(tmp_path / "store", "been-here") == 4)
    running.signal_group(signal.SIGINT)
    assert running.end() == ("interrupted {'interrupted': 4}", "")
    assert statuses(tmp_path / "store") == ["interrupted"] * 4
    assert count(tmp_path / "store", "checkpoint.safetensors") == 4
    assert command(COHORT, "auto").end() == ("complete {'done': 4}", "")
    logs = [path.read_text() for path in (tmp_path / "store").glob("runs/*/log.txt")]
    assert sum("2 as one on cpu\n" in log for log in logs) == 2
    assert all("from step 4\n" in log for log in logs)
    assert [record.attempts for record in Store(tmp_path / "store").records()] == [1] * 4
    assert differences(tmp_path / "store", undisturbed(COHORT)) == []


@pytest.mark.parametrize("whole_command", [False, True])
def test_killed_while_trained_as_one(
    command: Callable[..., Command], tmp_path: Path, undisturbed: Callable[..., Path], whole_command: bool
) -> None:
    running = command(COHORT, "auto")
    running.wait_for(lambda: count(tmp_path / "store", "been-here") == 4)
    if whole_command:
        running.signal_group(signal.SIGKILL)
        running.process.communicate()
        running = command(COHORT, "auto")
    else:
        for worker in running.workers():
            worker.kill()
    assert running.end() == ("complete {'done': 4}", "")
    assert [record.attempts for record in Store(tmp_path / "store").records()] == [1] * 4
    assert differences(tmp_path / "store", undisturbed(COHORT)) == []
