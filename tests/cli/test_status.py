"""`status` says how results folders stand, while they are written and when they are damaged, and changes nothing."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petlsparse._cli import _console
from petlsparse.analysis.folder_status import folder_status
from petlsparse.recipe import load_recipe
from petlsparse.tracking.compaction import compact
from petlsparse.tracking.progress import Progress, ProgressFile
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Plan, Store

from .conftest import Cli

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOBODY = 2**22 + 1
"""No process has this id: the kernel's limit is 2**22."""


@pytest.fixture
def store(recipe: Path) -> Store:
    """`results/tiny`, four runs: one done before the command, one done in it, one failed before it, one at 30 %."""
    loaded = load_recipe(recipe)
    store = Store.create(Path("results/tiny"))
    ids = [run.run_id for run in loaded.runs]
    store.write_plan(Plan("tiny", tuple(ids), loaded.text, loaded.resolved))
    for run, status, minutes in zip(loaded.runs, ("done", "done", "failed"), (-60, 10, -50), strict=False):
        about = {"finished": (START + timedelta(minutes=minutes)).isoformat()}
        store.write_record(Record(run.run_id, run.study, "tiny", status, run.settings(), provenance=about))
    store.run_dir(ids[3]).mkdir()
    ProgressFile(store.run_dir(ids[3]) / "progress.json", [ids[3]]).write(Progress(3, 10, 2, {"val_accuracy": 71.0}))
    return store


def held_by(store: Store, pid: int) -> None:
    holder = {"pid": pid, "host": os.uname().nodename, "command": "petlsparse run x", "since": START.isoformat()}
    (store.path / ".holder.json").write_text(json.dumps(holder))


def files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_tables_that_are_up_to_date_spare_the_records(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held_by(store, os.getpid())
    now = START + timedelta(minutes=20)
    from_records = folder_status(store.path, now)
    compact(store)
    monkeypatch.setattr(Store, "record", lambda *_: pytest.fail("a record was read"))
    assert folder_status(store.path, now) == from_records
    assert from_records.seconds_left is not None


def test_runs_by_state_what_runs_and_what_is_left(store: Store, cli: Cli) -> None:
    held_by(store, os.getpid())
    before = files(Path("results"))
    (found,) = json.loads(cli("status", "--json").out)
    assert found["counts"] == {"done": 2, "failed": 1, "running": 1}
    assert found["left"] == 2
    (run,) = found["at_work"]
    assert run["label"] == "dst magnitude/random d=0.2 seed 2"
    assert (run["progress"]["step"], run["progress"]["total_steps"]) == (3, 10)
    text = cli("status").out
    assert "running" in text
    assert "dst magnitude/random d=0.2 seed 2: step 3 of 10, epoch 2" in text
    assert "petlsparse run x" in text
    assert files(Path("results")) == before


def test_time_left_follows_from_the_pace_of_the_command(store: Store) -> None:
    held_by(store, os.getpid())
    # In 13 minutes it did one run and 0.3 of another; the failed one, tried again, and 0.7 of the last are left.
    left = folder_status(store.path, START + timedelta(minutes=13)).seconds_left
    assert left == pytest.approx(13 * 60 / 1.3 * 1.7)


@pytest.fixture
def many(recipe: Path) -> Store:
    """`results/many`, 400 runs: 200 train as one, of which the first two and another are over; 100 are about to."""
    text = recipe.read_text().replace("seeds = 2", "seeds = 200")
    recipe.write_text(text)
    loaded = load_recipe(recipe)
    store = Store.create(Path("results/many"))
    ids = [run.run_id for run in loaded.runs]
    store.write_plan(Plan("many", tuple(ids), loaded.text, loaded.resolved))
    for index, status in enumerate(("done", "diverged", "interrupted", "done")):
        run = loaded.runs[index]
        store.write_record(Record(run.run_id, run.study, "many", status, run.settings()))
    for first, last, step in ((0, 200, 120), (200, 300, 0)):
        store.run_dir(ids[first]).mkdir(exist_ok=True)
        progress = ProgressFile(store.run_dir(ids[first]) / "progress.json", ids[first:last])
        progress.write(Progress(step, 800 if step else 0, 2))
    held_by(store, os.getpid())
    return store


def test_all_that_train_as_one_are_running_in_one_line(many: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = json.loads(cli("status", "--json").out)
    assert found["counts"] == {"done": 2, "diverged": 1, "running": 297, "to do": 100}
    assert sum(found["counts"].values()) == 400
    assert found["left"] == 397
    assert [len(work["run_ids"]) for work in found["at_work"]] == [197, 100]
    ids = many.read_plans().run_ids
    monkeypatch.setattr(_console.out, "width", 80)
    lines = [line.strip() for line in cli("status").out.splitlines()]
    assert lines[-2:] == [
        f"197 runs as one: {ids[2]} ... step 120 of 800, epoch 2",
        f"100 runs as one: {ids[200]} ... starting",
    ]
    assert max(map(len, lines)) <= 80
    assert len(lines) < 10


def test_a_cohort_counts_with_all_its_members_in_the_time_left(many: Store) -> None:
    # In 6 minutes 197 runs got to 15 %; none of the records says that it was written by this command.
    left = folder_status(many.path, START + timedelta(minutes=6)).seconds_left
    assert left == pytest.approx(360 / (0.15 * 197) * (397 - 0.15 * 197))


@pytest.mark.parametrize("pid", [None, NOBODY])
def test_nothing_runs_where_no_command_is_alive(pid: int | None, store: Store, cli: Cli) -> None:
    if pid is not None:
        held_by(store, pid)
    assert "stopped" in cli("status", "results/tiny").out
    (found,) = json.loads(cli("status", "results/tiny", "--json").out)
    assert (found["holder"], found["at_work"], found["seconds_left"]) == (None, [], None)


def test_damage_hides_no_other_folder_and_is_left_as_it_is(store: Store, cli: Cli) -> None:
    record = min(store.path.glob("runs/*/record.json"))
    record.write_text("{")
    Store.create(Path("results/newer")).path.joinpath("plan.json").write_text('{"schema_version": 999}')
    Store.create(Path("results/odd")).path.joinpath("plan.json").write_text("[]")
    before = files(Path("results"))
    answer = cli("status")
    assert answer.code == 0
    assert "newer petlsparse" in answer.err
    assert str(record) in answer.err
    assert "results/tiny" in answer.out
    assert "results/odd" in answer.out
    assert files(Path("results")) == before


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(width: int, store: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_console.out, "width", width)
    held_by(store, os.getpid())
    assert max(map(len, cli("status").out.splitlines())) <= width


def test_where_there_is_nothing(recipe: Path, cli: Cli) -> None:
    assert cli("status") == (0, "no results in results\n", "")
    assert json.loads(cli("status", "--json").out) == []
    assert cli("status", "nowhere").code == 2


@pytest.mark.parametrize(
    "beat",
    [
        '[1, "x", 5, 1, {}, ["RUN"]]',
        '[1, 2, "y", 1, {}, ["RUN"]]',
        '[1, 2, 3, 1, [], ["RUN"]]',
        '[1, 2, 3, 1, {}, "RUN"]',
        "[1, 2, 3, 1, {}, [7]]",
        '[1, 2, 3, 1, {}, ["nobody"]]',
        "[1, 2]",
        "{}",
        "7",
        "",
        "nonsense",
    ],
)
def test_an_odd_progress_file_is_none(store: Store, cli: Cli, beat: str) -> None:
    held_by(store, os.getpid())
    for path in store.path.glob("runs/*/progress.json"):
        path.write_text(beat.replace("RUN", path.parent.name))
    answer = cli("status", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)[0]["at_work"] == []


def test_what_a_killed_worker_left_is_no_progress_of_the_next_command(store: Store, cli: Cli) -> None:
    held_by(store, os.getpid())
    (path,) = store.path.glob("runs/*/progress.json")
    path.write_text(path.read_text().replace(f"[{os.getpid()},", f"[{NOBODY},"))
    (found,) = json.loads(cli("status", "--json").out)
    assert found["counts"] == {"done": 2, "failed": 1, "to do": 1}
    assert found["at_work"] == []


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T12:00:00", 5])
def test_an_odd_time_in_a_record_is_passed_over(store: Store, cli: Cli, time: object) -> None:
    held_by(store, os.getpid())
    path = next(store.path.glob("runs/*/record.json"))
    document = json.loads(path.read_text())
    document["provenance"]["finished"] = time
    path.write_text(json.dumps(document))
    assert cli("status", "--json").code == 0
