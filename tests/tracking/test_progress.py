import os
from pathlib import Path

import pytest

from petlsparse.tracking import progress as module
from petlsparse.tracking.progress import Heartbeat, Progress, ProgressFile, read_heartbeat


def test_the_first_progress_is_written_and_then_one_per_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    file = ProgressFile(tmp_path / "progress.json", interval=0.5)
    written = []
    for step, now in enumerate((100.0, 100.1, 100.49, 100.5, 100.9, 101.1)):  # noqa: B007 - read by the clock
        written.append(file(Progress(step, 10, 1)))
    assert written == [True, False, False, True, False, True]
    assert read_heartbeat(file.path) == Heartbeat(os.getpid(), Progress(5, 10, 1))


def test_metrics_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "progress.json", ["a", "b"])
    file(Progress(1, 2, 3, {"loss": float("nan"), "accuracy": 50.0}))
    assert read_heartbeat(file.path) == Heartbeat(os.getpid(), Progress(1, 2, 3, {"accuracy": 50.0}), ("a", "b"))


@pytest.mark.parametrize("content", [None, "", "[1, 2", "[]", "{}", "[1]", "3", '[1, 2, 3, 1, {}, "a"]'])
def test_what_cannot_be_read_is_no_progress(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "progress.json"
    if content is not None:
        path.write_text(content)
    assert read_heartbeat(path) is None
