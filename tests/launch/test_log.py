"""The log and the progress file of a run: what they tell, and that a run does without them."""

from pathlib import Path

import pytest

from petlsparse.launch.events import Separated
from petlsparse.launch.log import add_line, evaluation_line, print_to
from petlsparse.tracking.progress import Progress, ProgressFile
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import STEPS, Trouble
from tests.launch.fakes import Executed, alike, fake_run, fake_runs


def evaluations(log: str) -> list[str]:
    """The lines that tell of evaluations, without their times."""
    return [line.partition(" ")[2] for line in log.splitlines() if f" of {STEPS}: loss " in line]


def test_an_evaluation_is_one_line() -> None:
    metrics = {"train_lr": 0.1, "train_loss": 0.3125, "val_loss": float("nan"), "val_accuracy": 91.25}
    line = evaluation_line(Progress(10, 40, 1, metrics, evaluated=True)).partition(" ")[2]
    assert line == "epoch 1, step 10 of 40: train lr 0.1, train loss 0.3125, val loss nan, val accuracy 91.25 %"


@pytest.mark.parametrize("workers", [0, 1])
def test_every_member_of_a_cohort_logs_its_own_evaluations_as_a_run_alone_does(tmp_path: Path, workers: int) -> None:
    runs = fake_runs([Trouble.NONE, Trouble.DIVERGE, Trouble.NONE])
    cohort = Executed(runs, tmp_path / "cohort", workers=workers, cohort_key=alike)
    alone = Executed(runs, tmp_path / "alone", workers=0)
    assert cohort.of(Separated) == []
    for run in runs:
        assert evaluations(cohort.log(run)) == evaluations(alone.log(run))
    assert [len(evaluations(cohort.log(run))) for run in runs] == [STEPS, STEPS // 2, STEPS]


def test_one_that_fails_in_a_cohort_and_goes_on_alone_logs_each_evaluation_once(tmp_path: Path) -> None:
    runs = fake_runs([Trouble.NONE, Trouble.OUT_OF_MEMORY_ONCE])
    executed = Executed(runs, tmp_path / "cohort", workers=0, cohort_key=alike)
    assert executed.statuses == ["done", "done"]
    for record in executed.store.records():
        assert evaluations(executed.store.run_dir(record.run_id).joinpath("log.txt").read_text()) == [
            f"epoch 1, step {step} of {STEPS}: loss {value:.4g}" for step, _, _, _, value in record.history
        ]


def test_a_run_that_can_write_neither_log_nor_progress_comes_to_its_result(tmp_path: Path) -> None:
    run, store = fake_run(1), Store.create(tmp_path / "store")
    folder = store.run_dir(run.run_id)
    folder.mkdir()
    (folder / "log.txt").symlink_to("/dev/full")
    (folder / "progress.json").mkdir()
    executed = Executed([run], store.path, workers=0)
    assert executed.statuses == ["done"]
    assert executed.attempts() == [1]


def test_log_and_progress_are_advice(tmp_path: Path) -> None:
    add_line(tmp_path, "a folder")
    print_to(tmp_path)
    ProgressFile(tmp_path).write(Progress(0, 0, 0))


def test_text_that_is_no_text_is_spelled(tmp_path: Path) -> None:
    add_line(tmp_path / "log.txt", "no image: caf\udce9.png")
    assert (tmp_path / "log.txt").read_text() == "no image: caf\\udce9.png\n"


def test_a_run_logs_as_it_goes(tmp_path: Path) -> None:
    executed = Executed([fake_run(1)], tmp_path / "store", workers=0)
    assert len(evaluations(executed.log(fake_run(1)))) == STEPS


def test_the_time_that_is_told_is_the_time_that_is_recorded(tmp_path: Path) -> None:
    executed = Executed([fake_run(1)], tmp_path / "store", workers=0)
    (finished,) = [event for event in executed.events if type(event).__name__ == "Finished"]
    (record,) = executed.store.records()
    assert finished.seconds == record.cost["wall_seconds"] == 1.5
