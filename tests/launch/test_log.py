"""The log and the progress file of a run: what they tell, and that a run does without them."""

from pathlib import Path

from petlsparse.launch.log import Evaluations, add_line, print_to
from petlsparse.tracking.progress import Progress, ProgressFile
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import STEPS
from tests.launch.fakes import Executed, fake_run


def lines(log: Path) -> list[str]:
    """Without their times."""
    return [line.partition(" ")[2] for line in log.read_text().splitlines()] if log.exists() else []


def test_every_evaluation_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    report = Evaluations(log, continued=False)
    first = {"train_lr": 0.1, "train_loss": 0.3125, "val_accuracy": 91.25}
    report(Progress(1, 40, 1, {}))
    report(Progress(10, 40, 1, first))
    report(Progress(11, 40, 2, first))
    report(Progress(20, 40, 2, dict(first)))  # evaluated again, to the same values
    line = "train lr 0.1, train loss 0.3125, val accuracy 91.25 %"
    assert lines(log) == [f"epoch 1, step 10 of 40: {line}", f"epoch 2, step 20 of 40: {line}"]


def test_what_a_checkpoint_remembers_is_no_new_evaluation(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    report = Evaluations(log, continued=True)
    before = {"val_accuracy": 50.0}
    report(Progress(11, 40, 2, before))
    assert lines(log) == []
    report(Progress(20, 40, 2, {"val_accuracy": 60.0}))
    assert lines(log) == ["epoch 2, step 20 of 40: val accuracy 60 %"]


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
    told = [line for line in executed.log(fake_run(1)).splitlines() if " of 8: loss " in line]
    assert len(told) == STEPS  # the fake reports new values at every step


def test_the_time_that_is_told_is_the_time_that_is_recorded(tmp_path: Path) -> None:
    executed = Executed([fake_run(1)], tmp_path / "store", workers=0)
    (finished,) = [event for event in executed.events if type(event).__name__ == "Finished"]
    (record,) = executed.store.records()
    assert finished.seconds == record.cost["wall_seconds"] == 1.5
