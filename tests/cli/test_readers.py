"""The commands that look at a store leave it as it is; what is damaged is named, once."""

import json
import shutil
from pathlib import Path

import pytest

from petlsparse.recipe import load_recipe
from petlsparse.tracking.compaction import compact
from petlsparse.tracking.store import Store
from tests.tracking.made import record
from tests.tracking.test_readers import content

from .conftest import Cli


@pytest.fixture
def store(recipe: Path) -> Store:
    """A store of the recipe's four runs, made without training."""
    store = Store.create(Path("results") / "tiny")
    for run in load_recipe(recipe).runs:
        store.write_record(record(run.run_id, settings=run.settings()))
    compact(store)
    return store


def commands(run_id: str) -> list[list[str]]:
    return [
        ["compare", "results/tiny"],
        ["compare", "results/tiny", "--json"],
        ["show", run_id],
        ["plan", "tiny.toml"],
        ["dst-sweep", "tiny.toml", "--dry-run"],
    ]


@pytest.mark.parametrize("damage", ["tables", "plan.json", "record.json"])
def test_looking_changes_nothing(store: Store, cli: Cli, damage: str) -> None:
    sound, damaged, *_ = store.run_ids()
    for path in store.path.glob("*.parquet") if damage == "tables" else ():
        path.write_bytes(b"cut short")
    for path in store.path.rglob(damage):
        if path.parent.name in (damaged, "tiny"):
            path.write_text('{"schema_version": 2, "history": null}')
    before = content(store.path)
    for command in commands(sound):
        answer = cli(*command)
        assert answer.code == 0, answer
        told = damage == "record.json" and command[0] != "show"
        assert answer.err.count(f"{damaged}/record.json: not a run's record") == told
    assert content(store.path) == before


def test_a_copy_of_a_runs_folder_is_no_other_run(store: Store, cli: Cli) -> None:
    run_id = store.run_ids()[0]
    expected = [cli(*command) for command in commands(run_id)]
    shutil.copytree(store.run_dir(run_id), store.run_dir(f"{run_id}.bak"))
    assert [cli(*command) for command in commands(run_id)] == expected


def test_a_damaged_record_is_named_and_set_aside_by_the_command_that_trains(store: Store, cli: Cli) -> None:
    damaged = store.run_ids()[0]
    path = store.run_dir(damaged) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"history": None}))
    answer = cli("show", damaged)
    assert answer.code == 2
    assert f"{damaged}/record.json: not a run's record" in answer.err
    answer = cli("dst-sweep", "tiny.toml", "--limit", "0")
    assert answer.code == 0
    assert f"{damaged}/record.json: not a run's record" in answer.err
    assert "4 runs: 3 done, 1 pending" in answer.out
    assert path.with_name("record.json.corrupt").exists()


@pytest.mark.parametrize("odd", ["[]", "null", '{"schema_version": 2, "run_ids": null}', "{"])
def test_an_odd_plan_costs_nothing(store: Store, cli: Cli, odd: str) -> None:
    (store.path / "plan.json").write_text(odd)
    for command in commands(store.run_ids()[0]):
        assert cli(*command).code == 0


def test_the_same_command_again_leaves_one_plan(store: Store, cli: Cli) -> None:
    for flags in ([], ["--seeds", "1"], ["--set", "optimizer.lr=0.5"], ["--axis", "optimizer.lr=0.5,1"], []):
        assert cli("dst-sweep", "tiny.toml", "--limit", "0", *flags).code == 0
        assert cli("dst-sweep", "tiny.toml", "--limit", "0", *flags).code == 0
    assert len(store.read_plans().commands) == 4
    assert store.run_ids() == [run.run_id for run in load_recipe("tiny.toml").runs]


@pytest.mark.parametrize("command", ["compare", "plan", "dst-sweep"])
def test_a_file_where_a_folder_should_be_is_one_message(store: Store, cli: Cli, command: str) -> None:
    Path("file").touch()
    shutil.copytree(store.path, "runs-is-a-file")
    shutil.rmtree("runs-is-a-file/runs")
    Path("runs-is-a-file/runs").touch()
    for place in ("file", "runs-is-a-file"):
        answer = cli(*(["compare", place] if command == "compare" else [command, "tiny.toml", "--out", place]))
        assert "Traceback" not in answer.err
        assert answer.code == 2 if place == "file" and command != "plan" else answer.code in (0, 2)


def test_a_foreign_table_is_not_read(store: Store, cli: Cli) -> None:
    import pandas as pd

    expected = cli("compare", "results/tiny")
    pd.DataFrame({"x": [1]}).to_parquet(store.table("runs"))
    assert cli("compare", "results/tiny") == expected
    shutil.rmtree(store.path / "runs")
    answer = cli("compare", "results/tiny")
    assert answer.code == 2
    assert "runs.parquet: damaged, and there are no records to make it from" in answer.err
