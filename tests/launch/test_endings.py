"""However a run ends, the others do not notice."""

from pathlib import Path
from typing import Any

import pytest

from petlsparse.launch.events import Failed, Finished, Planned, Progressed, Retried, Started
from petlsparse.tracking.compaction import read_table
from tests.launch import fake_studies
from tests.launch.fake_studies import STEPS, Trouble
from tests.launch.fakes import Executed, alike, fake_run, fake_runs

TROUBLES = [trouble for trouble in Trouble if trouble not in (Trouble.SLOW, Trouble.PATIENT, Trouble.DEAF)]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """One run into each kind of trouble."""
    return Executed([fake_run(1, trouble) for trouble in TROUBLES], tmp_path_factory.mktemp("endings") / "store")


def run_of(trouble: Trouble) -> str:
    return fake_run(1, trouble).run_id


def test_every_run_gets_the_status_it_deserves(executed: Executed) -> None:
    assert dict(zip(TROUBLES, executed.statuses, strict=True)) == {
        Trouble.NONE: "done",
        Trouble.DIVERGE: "diverged",
        Trouble.RAISE: "failed",
        Trouble.USER_ERROR: "failed",
        Trouble.OUT_OF_MEMORY_ONCE: "done",
        Trouble.KILLED_ONCE: "done",
        Trouble.KILLED: "failed",
        Trouble.EXIT: "failed",
        Trouble.EXIT_ZERO_ONCE: "done",
    }
    assert executed.summary.counts == {"done": 4, "diverged": 1, "failed": 4}
    assert not executed.summary.interrupted


def test_only_what_may_pass_is_tried_again_and_only_once(executed: Executed) -> None:
    assert dict(zip(TROUBLES, executed.attempts(), strict=True)) == {
        Trouble.NONE: 1,
        Trouble.DIVERGE: 1,
        Trouble.RAISE: 1,
        Trouble.USER_ERROR: 1,
        Trouble.OUT_OF_MEMORY_ONCE: 2,
        Trouble.KILLED_ONCE: 2,
        Trouble.KILLED: 2,
        Trouble.EXIT: 2,
        Trouble.EXIT_ZERO_ONCE: 2,
    }


def test_the_reason_of_a_failure_is_recorded(executed: Executed) -> None:
    errors = read_table(executed.store, "runs").set_index("run_id")["error"]
    assert errors[run_of(Trouble.KILLED)] == "its worker was killed by SIGKILL: out of memory?"
    assert errors[run_of(Trouble.EXIT)] == "its worker exited with status 3 before the run had ended"
    assert errors[run_of(Trouble.USER_ERROR)] == "no such data set"
    assert errors[run_of(Trouble.RAISE)].startswith("Traceback")
    assert errors[run_of(Trouble.RAISE)].endswith("ZeroDivisionError: on purpose\n")
    assert errors.isna().sum() == 5


def test_a_run_tried_again_goes_on_from_its_checkpoint(executed: Executed) -> None:
    for trouble in (Trouble.KILLED_ONCE, Trouble.OUT_OF_MEMORY_ONCE, Trouble.EXIT_ZERO_ONCE):
        log = executed.log(fake_run(1, trouble))
        assert log.count("from step 0\n") == 1
        assert log.count(f"from step {STEPS // 2}\n") == 1


def test_a_log_holds_what_the_run_printed_and_its_traceback(executed: Executed) -> None:
    log = executed.log(fake_run(1, Trouble.RAISE))
    assert log.startswith("--- attempt 1, 20")
    assert "on cpu of GPU none with 1 thread from step 0\n" in log
    assert "ZeroDivisionError: on purpose" in log


def test_finished_runs_leave_no_working_files(executed: Executed) -> None:
    for run, status in zip(executed.runs, executed.statuses, strict=True):
        folder = executed.store.run_dir(run.run_id)
        assert (folder / "checkpoint.safetensors").exists() == (status == "failed")
        assert not (folder / "progress.json").exists()


def test_divergence_keeps_its_row_and_its_course(executed: Executed) -> None:
    metrics = read_table(executed.store, "metrics")
    values = metrics.loc[metrics["run_id"] == run_of(Trouble.DIVERGE), "value"]
    assert len(values) == STEPS // 2 + 1
    assert values.isna().sum() == 1


def test_every_event_has_its_place(executed: Executed) -> None:
    assert executed.of(Planned) == [Planned(tuple(run.run_id for run in executed.runs), 0)]
    assert sum(executed.attempts()) == len(executed.of(Started))
    assert {event.run_id for event in executed.of(Finished)} == {
        run.run_id for run, status in zip(executed.runs, executed.statuses, strict=True) if status != "failed"
    }
    failed = (Trouble.RAISE, Trouble.USER_ERROR, Trouble.KILLED, Trouble.EXIT)
    assert {event.run_id for event in executed.of(Failed)} == set(map(run_of, failed))
    assert len(executed.of(Retried)) == 5
    assert all(event.progress.total_steps == STEPS for event in executed.of(Progressed))


def test_the_next_command_tries_only_the_failed_ones_again(executed: Executed) -> None:
    again = Executed(executed.runs, executed.store.path, retry=0)
    failed = {Trouble.RAISE: 2, Trouble.USER_ERROR: 2, Trouble.KILLED: 3, Trouble.EXIT: 3}
    assert again.of(Planned) == [Planned(tuple(map(run_of, failed)), 5)]
    assert again.statuses == executed.statuses
    attempts = dict(zip(TROUBLES, again.attempts(), strict=True))
    assert {trouble: attempts[trouble] for trouble in failed} == failed


@pytest.mark.parametrize("runs", [1, 2])
def test_what_goes_wrong_after_a_result_costs_no_result(
    runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RaisesAtTheEnd(fake_studies.Fake):
        def execute(self, *arguments: Any, **options: Any) -> None:
            super().execute(*arguments, **options)
            raise ZeroDivisionError("on the way out")

    monkeypatch.setattr("petlsparse.launch.worker.resolve", lambda *_: RaisesAtTheEnd())
    executed = Executed(fake_runs([Trouble.NONE] * runs), tmp_path / "store", workers=0, cohort_key=alike)
    assert executed.statuses == ["done"] * runs
    assert "on the way out" in executed.log(executed.runs[0])
