"""The commands that read: compare, show, recipes, doctor; completion; both ways to show progress."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from petlsparse._cli import _complete, _console
from petlsparse._cli._options import ProgressStyle
from petlsparse._cli._progress import Lines, shown
from petlsparse._cli._study import first_failure
from petlsparse.launch import events
from petlsparse.recipe import load_recipe
from petlsparse.tracking.progress import Progress
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Plan, Store

from .conftest import Cli

Ids = list[str]

DRAWS = """
study = "adapter-search"
run.data.name = "digits"
run.optimizer = { name = "adamw", lr = 0.001 }
run.training.duration = "1 epoch"
run.method = { kind = "adapters", placement = { name = "random", count = 5 } }
"""


@pytest.fixture
def run_ids(recipe: Path) -> Ids:
    """Ids of the runs of a store `results/tiny` with invented results: three done, one failed."""
    store = Store.create(Path("results/tiny"))
    runs = load_recipe(recipe).runs
    store.write_plan(Plan("tiny", tuple(run.run_id for run in runs)))
    for number, run in enumerate(runs):
        metrics = {"test_accuracy": 90.0 + number, "val_accuracy_best": 91.0, "test_loss": 0.5}
        cost = {"wall_seconds": 10.0, "trainable_parameters": 610.0, "training_flops": 1e9}
        failed = {"status": "failed", "error": "Traceback ...\nMemoryError: no more"}
        outcome = failed if number == 3 else {"status": "done", "metrics": metrics, "cost": cost}
        about = {"cpu": "Some CPU", "device": "cpu", "threads": 1}
        record = Record(run.run_id, run.study, "tiny", settings=run.settings(), provenance=about, **outcome)  # type: ignore[arg-type]
        store.write_record(record)
    (store.run_dir(record.run_id) / "log.txt").write_text("--- attempt 1\nMemoryError: no more\n")
    return [run.run_id for run in runs]


@pytest.mark.parametrize("width", [80, 120])
def test_comparison_fits_the_terminal(width: int, run_ids: Ids, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_console.out, "width", width)
    text = cli("compare", "results/tiny").out
    assert max(map(len, text.splitlines())) <= width
    # Accuracies 90 and 91: mean 90.5, SD 0.7071, t(0.975, 1) = 12.706, half-width 12.706 * 0.7071 / sqrt(2) = 6.353.
    assert "90.50 ± 6.35" in text
    assert "1 failed" in text
    assert ("No room here for" in text) == (width == 80)


def test_comparison_as_json(run_ids: Ids, cli: Cli) -> None:
    rows = json.loads(cli("compare", "results/tiny", "--json").out)
    assert [row["method"] for row in rows] == ["dense", "dst magnitude/random d=0.2"]
    assert rows[0]["run_ids"] == run_ids[:2]
    assert (rows[1]["done"], rows[1]["failed"]) == (1, 1)


def test_one_run_in_two_stores_counts_once(run_ids: Ids, cli: Cli) -> None:
    rows = json.loads(cli("compare", "results/tiny", "results/../results/tiny", "--json").out)
    assert rows[0]["n"] == 2


def test_show_finds_a_run_by_the_beginning_of_its_id(run_ids: Ids, cli: Cli) -> None:
    text = cli("show", run_ids[0][:8]).out
    assert run_ids[0] in text
    assert "optimizer.lr" in text
    assert "test_accuracy" in text
    assert "Some CPU" in text


def test_show_says_quantities_in_human_units_and_json_exactly(run_ids: Ids, cli: Cli) -> None:
    lines = [line.split(maxsplit=1) for line in cli("show", run_ids[0]).out.splitlines()]
    shown = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    assert shown["wall_seconds"] == "10 s"
    assert shown["training_flops"] == "1.00G FLOP"
    assert shown["trainable_parameters"] == "610"
    assert shown["test_accuracy"] == "90.00 %"
    cost = json.loads(cli("show", run_ids[0], "--json").out)["cost"]
    assert (cost["wall_seconds"], cost["training_flops"]) == (10.0, 1e9)


@pytest.mark.parametrize("width", [80, 120])
def test_drawn_edges_are_named(width: int, recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_console.out, "width", width)
    path = Path("draws.toml")
    path.write_text(DRAWS)
    run = load_recipe(path).runs[0]
    edges = "[[0, 3], [1, 6], [3, 3], [7, 4], [9, 6]]"
    store = Store.create(Path("results/draws"))
    about = {"edges": edges}
    store.write_record(Record(run.run_id, run.study, "draws", "done", run.settings(), provenance=about))
    assert "0→3 1→6 3→3 +2 more" in cli("compare", "results/draws").out
    assert json.loads(cli("compare", "results/draws", "--json").out)[0]["edges"] == edges
    assert "0→3 1→6 3→3 7→4 9→6" in cli("show", run.run_id).out


def test_show_tells_why_a_run_failed(run_ids: Ids, cli: Cli) -> None:
    assert "MemoryError: no more" in cli("show", run_ids[3]).out
    assert "--- attempt 1" not in cli("show", run_ids[3]).out
    assert "--- attempt 1" in cli("show", run_ids[3], "--log").out
    assert json.loads(cli("show", run_ids[3], "--json").out)["status"] == "failed"


def test_a_command_ends_with_what_failed_first_and_why(run_ids: Ids) -> None:
    failed = run_ids[3]
    more = f"petlsparse show {failed} --log --out results/tiny tells more"
    assert first_failure(Path("results/tiny"), [failed]) == f"{failed} failed: MemoryError: no more\n{more}"
    told = first_failure(Path("results/tiny"), [failed, "f" * 12])
    assert told == f"{failed}, the first of 2 that failed: MemoryError: no more\n{more}"


def test_show_refuses_a_beginning_of_several_ids(run_ids: Ids, cli: Cli) -> None:
    answer = cli("show", "")
    assert answer.code == 2
    assert all(run_id in answer.err for run_id in run_ids)


def test_recipes_are_listed_shown_copied_and_validated(recipe: Path, cli: Cli) -> None:
    names = [row["name"] for row in json.loads(cli("recipes", "ls", "--json").out)]
    assert {"dst-smoke", "adapter-smoke"} <= set(names)
    assert cli("recipes", "copy", "dst-smoke").code == 0
    assert Path("dst-smoke.toml").read_text() == cli("recipes", "show", "dst-smoke").out
    assert cli("recipes", "copy", "dst-smoke", "mine.toml").out == "mine.toml\n"
    (row,) = json.loads(cli("recipes", "validate", "mine.toml", "--json").out)
    assert (row["name"], row["study"]) == ("mine", "dst-sweep")


def test_doctor_names_versions_threads_data_and_weights(cli: Cli) -> None:
    findings = json.loads(cli("doctor", "--json").out)
    named = {(finding["section"], finding["name"]) for finding in findings}
    assert {("software", "torch"), ("machine", "threads"), ("data", "digits"), ("weights", "vit-micro")} <= named
    assert "torch" in cli("doctor").out


@pytest.mark.parametrize("error", [RuntimeError("Could not determine home directory."), PermissionError(13, "no")])
def test_doctor_does_without_a_hub_cache(cli: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.scan_cache_dir", fail)
    (found,) = [row for row in json.loads(cli("doctor", "--json").out) if row["name"] == "hub cache"]
    assert found["found"] == "empty"


def test_completion_of_recipes_runs_and_stores(run_ids: Ids) -> None:
    assert "dst-smoke" in set(_complete.recipe_names("dst-"))
    assert set(_complete.recipe_names("ti")) == {"tiny.toml"}
    assert list(_complete.run_ids(run_ids[0][:6])) == [run_ids[0]]
    Store(Path("results/tiny")).path.joinpath("plan.json").write_text("{}")
    assert list(_complete.stores("res")) == ["results/tiny"]


EVENTS = [
    events.Planned(("a" * 12, "b" * 12), 3),
    events.Started("a" * 12, 1, 0),
    events.Progressed(("a" * 12,), Progress(5, 10, 1, {"train_loss": 0.5, "val_accuracy": 80.0})),
    events.Retried("a" * 12, "Traceback\nMemoryError: first time"),
    events.Started("a" * 12, 2, 0),
    events.Finished("a" * 12, "done", {"test_accuracy": 93.125}, 12.0),
    events.Started("b" * 12, 1, 0),
    events.Failed("b" * 12, "Traceback\nValueError: no"),
]


@pytest.mark.parametrize("style", [ProgressStyle.plain, ProgressStyle.rich, ProgressStyle.auto])
def test_every_run_that_is_over_leaves_one_line(style: ProgressStyle, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(style, {"a" * 12: "dense seed 1"}) as listener:
        for event in EVENTS:
            listener(event)
    text = capsys.readouterr().err
    assert "2 runs to do, 3 done before" in text
    assert "1/2 aaaaaaaaaaaa dense seed 1: test 93.12 %, 12 s" in text
    assert "again: aaaaaaaaaaaa dense seed 1: MemoryError: first time" in text
    assert "2/2 bbbbbbbbbbbb: failed: ValueError: no" in text


def test_no_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(ProgressStyle.none, {}) as listener:
        for event in EVENTS:
            listener(event)
    assert capsys.readouterr().err == ""


def test_a_line_says_when_and_how_long_the_rest_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    """After 60 s one run of four is over and one is half done: 1.5 of 4, so 100 s are left."""
    seconds = 0.0
    lines = Lines({}, clock=lambda: datetime(2026, 1, 1, 12, 0) + timedelta(seconds=seconds))  # noqa: DTZ001
    lines(events.Planned(("a", "b", "c", "d"), 0))
    for worker, run_id in enumerate("ab"):
        lines(events.Started(run_id, 1, worker))
    seconds = 60.0
    lines(events.Progressed(("b",), Progress(5, 10, 1)))
    lines(events.Finished("a", "done", {"test_accuracy": 93.125}, 55.0))
    for run_id in "bcd":
        lines(events.Finished(run_id, "done", {"test_accuracy": 50.0}, 55.0))
    assert capsys.readouterr().err.splitlines() == [
        "12:00:00 4 runs to do, 0 done before",
        "12:01:00 1/4 a: test 93.12 %, 55 s, 100 s left",
        "12:01:00 2/4 b: test 50.00 %, 55 s, 60 s left",
        "12:01:00 3/4 c: test 50.00 %, 55 s, 20 s left",
        "12:01:00 4/4 d: test 50.00 %, 55 s",
    ]
