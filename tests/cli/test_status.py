"""`status` says how results folders stand, while they are written and when they are damaged, and changes nothing."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petlsparse._cli import _console
from petlsparse.analysis.standing import standing
from petlsparse.recipe import load_recipe
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
    ProgressFile(store.run_dir(ids[3]) / "progress.json").write(Progress(3, 10, 2, {"val_accuracy": 71.0}))
    return store


def held_by(store: Store, pid: int) -> None:
    holder = {"pid": pid, "host": os.uname().nodename, "command": "petlsparse run x", "since": START.isoformat()}
    (store.path / ".holder.json").write_text(json.dumps(holder))


def files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_runs_by_state_what_runs_and_what_is_left(store: Store, cli: Cli) -> None:
    held_by(store, os.getpid())
    before = files(Path("results"))
    (found,) = json.loads(cli("status", "--json").out)
    assert found["counts"] == {"done": 2, "failed": 1, "to do": 1}
    assert found["left"] == 2
    (run,) = found["at_work"]
    assert run["label"] == "dst magnitude/random d=0.2 seed 2"
    assert (run["progress"]["step"], run["progress"]["total_steps"]) == (3, 10)
    text = cli("status").out
    assert "running" in text
    assert "30% epoch 2" in text
    assert "petlsparse run x" in text
    assert files(Path("results")) == before


def test_time_left_follows_from_the_pace_of_the_command(store: Store) -> None:
    held_by(store, os.getpid())
    # In 13 minutes it did one run and 0.3 of another; the failed one, tried again, and 0.7 of the last are left.
    left = standing(store.path, START + timedelta(minutes=13)).seconds_left
    assert left == pytest.approx(13 * 60 / 1.3 * 1.7)


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
    assert max(map(len, cli("status").out.splitlines())) <= width


def test_where_there_is_nothing(recipe: Path, cli: Cli) -> None:
    assert cli("status") == (0, "no results in results\n", "")
    assert json.loads(cli("status", "--json").out) == []
    assert cli("status", "nowhere").code == 2


@pytest.mark.parametrize(
    "beat", ['[1, "x", 5, 1, {}]', '[1, 2, "y", 1, {}]', "[1, 2, 3, 1, []]", "[1, 2]", "{}", "7", "", "nonsense"]
)
def test_an_odd_progress_file_is_none(store: Store, cli: Cli, beat: str) -> None:
    held_by(store, os.getpid())
    for path in store.path.glob("runs/*/progress.json"):
        path.write_text(beat)
    answer = cli("status", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)[0]["at_work"] == []


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T12:00:00", 5])
def test_an_odd_time_in_a_record_is_passed_over(store: Store, cli: Cli, time: object) -> None:
    held_by(store, os.getpid())
    path = next(store.path.glob("runs/*/record.json"))
    document = json.loads(path.read_text())
    document["provenance"]["finished"] = time
    path.write_text(json.dumps(document))
    assert cli("status", "--json").code == 0
