"""A study from the command line: train, run again, amend, heal, start anew."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from petlsparse._cli._study import exit_code
from petlsparse.launch.events import CommandSummary
from petlsparse.recipe import Run
from petlsparse.tracking.store import Store

from .conftest import RECIPE, Cli

PROGRAM = """
import sys
from petlsparse._cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A working directory with the recipe trained, and what the command said."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "tiny.toml").write_text(RECIPE)
    command = [sys.executable, "-c", PROGRAM, "dst-sweep", "tiny.toml", "--workers", "1"]
    return folder, subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def trained(first: tuple[Path, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the trained store, in a working directory with the recipe."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "tiny"


def test_trains_compares_and_says_where(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = first
    assert done.returncode == 0, done.stderr
    assert "4 runs to do, 0 done before" in done.stderr
    assert "4/4" in done.stderr
    assert "dst magnitude/random d=0.2" in done.stdout
    assert "4 runs: 4 done" in done.stdout
    for name in ("runs", "metrics", "topology"):
        assert f"results/tiny/{name}.parquet" in done.stdout
        assert (folder / f"results/tiny/{name}.parquet").exists()
    assert "edges.parquet" not in done.stdout  # without rows


def test_the_process_of_the_command_is_free_of_torch(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert first[1].stderr.endswith("\nFalse\n")


def test_a_finished_plan_is_looked_at_before_and_under_the_lock_and_not_again(
    trained: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    stamps = Store.stamps
    monkeypatch.setattr(Store, "stamps", lambda *given: looks.append(given) or stamps(*given))
    assert cli("dst-sweep", "tiny.toml").code == 0
    assert len(looks) == 2


def test_the_same_command_again_changes_nothing(trained: Path, cli: Cli) -> None:
    before = pd.read_parquet(trained / "runs.parquet")
    answer = cli("dst-sweep", "tiny.toml")
    assert answer.code == 0
    assert "0 runs to do, 4 done before" in answer.err
    pd.testing.assert_frame_equal(pd.read_parquet(trained / "runs.parquet"), before)


def test_of_a_long_table_a_study_shows_the_beginning_and_says_so(
    trained: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petlsparse._cli._study.MOST_ROWS", 1)
    shown = cli("dst-sweep", "tiny.toml").out
    whole = cli("compare", "results/tiny").out
    assert "The first 1 of 2 rows; petlsparse compare results/tiny shows all." in " ".join(shown.split())
    assert ("d=0.2" in shown) + ("dense" in shown) == 1
    assert "d=0.2" in whole
    assert "dense" in whole
    assert "The first" not in whole


def test_run_takes_a_recipe_of_any_study(trained: Path, cli: Cli) -> None:
    assert "0 runs to do, 4 done before" in cli("run", "tiny.toml").err
    plan = json.loads(cli("run", "adapter-smoke", "--seeds", "1", "--dry-run", "--json").out)
    assert {run["method"].split()[0] for run in plan} >= {"linear-probe", "all-parallel"}


def test_an_amended_recipe_adds_runs(trained: Path, cli: Cli) -> None:
    plan = json.loads(cli("plan", "tiny.toml", "--seeds", "3", "--json").out)
    assert sorted(run["state"] for run in plan) == ["done"] * 4 + ["to do"] * 2
    assert len({run["run_id"] for run in plan}) == 6


def test_plan_estimates_from_finished_runs(trained: Path, cli: Cli) -> None:
    plan = json.loads(cli("plan", "tiny.toml", "--seeds", "3", "--json").out)
    runs = pd.read_parquet(trained / "runs.parquet")
    dense = runs[runs.method_kind == "dense"].wall_seconds.median()
    seconds = [run["seconds"] for run in plan if run["method"] == "dense"]
    assert seconds == [pytest.approx(dense)] * 3


def test_plan_says_how_long_what_is_left_takes_with_how_many_at_a_time(trained: Path, cli: Cli) -> None:
    some_left = cli("plan", "tiny.toml", "--seeds", "3", "--workers", "2").out
    assert re.search(r"4 done, 2 to do; about .+ with 2 at a time", some_left)
    Path("three.toml").write_text(RECIPE + "\n[launch]\nworkers = 3\n")
    assert "time unknown with 3 at a time" in cli("plan", "three.toml").out
    assert "at a time" not in cli("plan", "tiny.toml", "--workers", "2").out  # nothing is left


def test_plan_of_nothing_done_says_unknown_and_what_it_costs(recipe: Path, cli: Cli) -> None:
    text = cli("plan", recipe).out
    assert "time unknown" in text
    # MLP of 64 pixels, 8 hidden and 10 output units: 64*8 + 8 + 8*10 + 10 = 610 parameters.
    assert "610" in text
    assert all(axis in text for axis in ("method.kind", "seed"))
    assert not Path("results").exists()


def test_dry_run_shows_the_plan_and_trains_nothing(recipe: Path, cli: Cli) -> None:
    answer = cli("dst-sweep", recipe, "--dry-run", "--json")
    assert answer.code == 0
    assert [run["state"] for run in json.loads(answer.out)] == ["to do"] * 4
    assert not Path("results").exists()


def test_json_is_a_list_of_this_recipes_runs(trained: Path, cli: Cli) -> None:
    answer = cli("dst-sweep", "tiny.toml", "--json", "--seeds", "1", "--progress", "none")
    runs = json.loads(answer.out)
    assert len(runs) == 2
    assert {run["status"] for run in runs} == {"done"}
    assert all(len(run["run_id"]) == 12 for run in runs)
    assert answer.err == ""


def test_a_finished_run_is_at_most_four_files(trained: Path) -> None:
    files = [sorted(path.name for path in folder.iterdir()) for folder in (trained / "runs").iterdir()]
    assert files
    own = [".lock", "log.txt", "record.json"]
    assert all(names in (own, [*own, "topology.parquet"]) for names in files)


def test_fresh_sets_the_old_results_aside(trained: Path, cli: Cli) -> None:
    answer = cli("dst-sweep", "tiny.toml", "--fresh", "--limit", "0")
    assert answer.code == 0
    (aside,) = trained.parent.glob("tiny.before-*")
    assert str(aside.name) in answer.err
    assert len(list(aside.glob("runs/*/record.json"))) == 4
    assert list(trained.glob("runs/*/record.json")) == []


@pytest.mark.parametrize(
    "mistake", [("--device", "cuda:99"), ("--set", "data.name=folder:nowhere", "--set", "data.image_size=8")]
)
def test_a_command_that_cannot_work_sets_nothing_aside(trained: Path, cli: Cli, mistake: tuple[str, ...]) -> None:
    assert cli("dst-sweep", "tiny.toml", "--fresh", *mistake).code == 2
    assert [path.name for path in trained.parent.iterdir()] == ["tiny"]
    assert len(list(trained.glob("runs/*/record.json"))) == 4


def test_runs_known_to_take_long_start_first(trained: Path, cli: Cli) -> None:
    for path in trained.glob("runs/*/record.json"):
        record = json.loads(path.read_text())
        record["cost"]["wall_seconds"] = 5.0 if record["settings"]["method"]["kind"] == "dst" else 1.0
        path.write_text(json.dumps(record))
    lines = cli("dst-sweep", "tiny.toml", "--seeds", "3", "--workers", "1", "--cohort", "off").err.splitlines()
    assert [line.split()[3] for line in lines if "seed 3" in line] == ["dst", "dense"]


def test_finished_runs_keep_what_they_kept_and_the_user_hears_of_it(trained: Path, cli: Cli) -> None:
    told = "4 finished runs have no best.safetensors"
    assert told in cli("dst-sweep", "tiny.toml", "--set", "output.save_weights=best").err
    for folder in trained.glob("runs/*"):
        (folder / "best.safetensors").touch()
    assert told not in cli("dst-sweep", "tiny.toml", "--set", "output.save_weights=best").err


def test_paths_are_printed_as_they_are(recipe: Path, cli: Cli) -> None:
    answer = cli("dst-sweep", recipe, "--out", "a[/b]:smile:[red]", "--limit", "1", "--workers", "1")
    assert answer.code == 0
    assert "  a[/b]:smile:[red]/runs.parquet" in answer.out
    assert "in a[/b]:smile:[red]" in cli("plan", recipe, "--out", "a[/b]:smile:[red]").out


@pytest.mark.parametrize(("flags", "device"), [((), "cpu"), (("--device", "cuda:1"), "cuda:1")])
def test_steps_are_timed_as_a_worker_takes_them(
    recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], device: str
) -> None:
    probed = []

    def probe_seconds(run: Run, device: torch.device) -> float:
        probed.append((str(device), torch.get_num_threads()))
        return 3.0

    monkeypatch.setattr("petlsparse.studies.probe_seconds", probe_seconds)
    monkeypatch.setattr("petlsparse.launch.devices.GPU_NODES", ())
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert [row["seconds"] for row in json.loads(cli("plan", recipe, "--probe", "--json", *flags).out)] == [3.0] * 4
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert probed == [(device, 1)] * 2  # once per method


# -- what is damaged is mended ---------------------------------------------------------------------------------------


def test_truncated_tables_are_made_again_from_the_records(trained: Path, cli: Cli) -> None:
    before = cli("compare", trained).out
    table = trained / "runs.parquet"
    table.write_bytes(table.read_bytes()[:100])
    assert cli("compare", trained) == (0, before, "")
    assert cli("dst-sweep", "tiny.toml").code == 0  # only a command that may write does
    assert len(pd.read_parquet(table)) == 4


def test_a_damaged_record_is_passed_over_and_its_run_is_to_do(trained: Path, cli: Cli) -> None:
    record = min(trained.glob("runs/*/record.json"))
    record.write_text(record.read_text()[:50])
    answer = cli("plan", "tiny.toml", "--json")
    assert [run["run_id"] for run in json.loads(answer.out) if run["state"] == "to do"] == [record.parent.name]
    assert "passed over" in answer.err
    assert "Traceback" not in answer.err


def test_a_damaged_checkpoint_costs_only_time(trained: Path, cli: Cli) -> None:
    store, run_id = Store(trained), Store(trained).run_ids()[0]
    before = store.record(run_id)
    shutil.rmtree(store.run_dir(run_id))
    store.run_dir(run_id).mkdir()
    (store.run_dir(run_id) / "checkpoint.safetensors").write_bytes(b"cut short")
    assert cli("dst-sweep", "tiny.toml", "--workers", "1").code == 0
    after = store.record(run_id)
    assert before is not None
    assert after is not None
    assert after.metrics == before.metrics
    assert "checkpoint" in str(after.provenance["warnings"])


@pytest.mark.parametrize(
    ("statuses", "number", "code"),
    [
        (["done", "diverged"], None, 0),
        (["done", "pending"], None, 0),
        (["done", "failed"], None, 1),
        (["done", "interrupted"], signal.SIGINT, 130),
        (["failed", "interrupted"], signal.SIGINT, 130),
        (["done", "interrupted"], signal.SIGTERM, 143),
        (["done", "interrupted"], signal.SIGHUP, 129),
    ],
)
def test_exit_code(statuses: list[str], number: int | None, code: int) -> None:
    summary = CommandSummary(statuses=dict(zip("abc", statuses, strict=False)), signal=number)
    assert exit_code(summary) == code
