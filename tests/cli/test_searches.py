"""A recipe with a search from the command line: what is planned, trained, compared, and told of what follows."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from petlsparse.launch.events import CommandSummary
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import Recipe
from petlsparse.tracking.store import Store

from .conftest import RECIPE, Cli

SEARCHED = (
    RECIPE.replace("seeds = 2", 'seeds = 1\n[search]\nname = "best-of"\nrepeats = 2').partition("[[arms]]")[0]
    + """
[[arms]]
method = { kind = "dense" }
[[arms]]
method = { kind = "static", density = 0.2 }
grid."optimizer.lr" = [0.001, 0.1]
"""
)
THEN = "the 2 best on validation, with 2 fresh seeds: 4 runs"


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def in_this_process(recipe: Recipe, *arguments: Any, **options: Any) -> CommandSummary:
        recipe = replace(recipe, launch=recipe.launch.overridden({"workers": 0}))
        return execute_plan(recipe, *arguments, **options)

    monkeypatch.setattr("petlsparse.launch.plan.execute_plan", in_this_process)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(SEARCHED)
    return tmp_path / "results" / "tiny"


def planned(cli: Cli) -> list[tuple[str, str]]:
    """Role and state of every run of the plan."""
    return [(run["role"], run["state"]) for run in json.loads(cli("plan", "tiny.toml", "--json").out)]


def test_a_search_is_planned_trained_resumed_and_compared(searched: Path, cli: Cli) -> None:
    assert planned(cli) == [("candidate", "to do")] * 2
    text = cli("dst-sweep", "tiny.toml", "--dry-run").out
    assert f"once all of them have a result: {THEN}" in text

    answer = cli("dst-sweep", "tiny.toml", "--limit", "1")
    assert answer.code == 0
    assert f"1 candidate to do, 0 done before; then {THEN}" in answer.err
    assert re.search(r"seed 1: val [\d.]+ %", answer.err)
    assert "test " not in answer.err
    assert f"once all of them have a result: {THEN}" in answer.out
    assert planned(cli) == [("candidate", "done"), ("candidate", "to do")]

    assert cli("dst-sweep", "tiny.toml", "--limit", "1").code == 0
    (found,) = json.loads(cli("status", "--json").out)
    assert found["counts"] == {"done": 2, "to do": 4}  # what was chosen is known
    assert planned(cli) == [("candidate", "done")] * 2 + [("final", "to do")] * 4

    answer = cli("dst-sweep", "tiny.toml")
    assert (answer.code, "4 runs to do, 0 done before" in answer.err) == (0, True)
    assert "6 runs: 6 done" in answer.out
    assert "once all" not in answer.out
    candidates, _, results = answer.out.partition("\ndst-sweep\n")
    assert "dst-sweep, candidates" in candidates
    assert "test acc. %" in results
    assert "test acc. %" not in candidates
    assert "static" in results
    assert "dense" in results
    assert "dense" not in candidates

    runs = pd.read_parquet(searched / "runs.parquet")
    assert list(runs["role"]) == ["candidate"] * 2 + ["final"] * 4
    tried = runs[runs["role"] == "candidate"]
    chosen = runs[(runs["role"] == "final") & (runs["method_kind"] == "static")]
    assert set(chosen["optimizer_lr"]) == {tried.loc[tried["val_accuracy_best"].idxmax(), "optimizer_lr"]}
    assert sorted(chosen["seed"]) == [2, 3]
    (_, second) = (run_id for run_id in tried["run_id"])
    assert "asked for by best-of, candidate 2 of 2" in cli("show", second, "--out", searched).out
    rows = json.loads(cli("compare", searched, "--json").out)
    assert [(row.get("role"), row["n"]) for row in rows] == [("candidate", 1)] * 2 + [(None, 2)] * 2

    assert "0 runs to do, 4 done before" in cli("dst-sweep", "tiny.toml").err
    assert cli("dst-sweep", "tiny.toml", "--fresh", "--limit", "0").code == 0
    assert planned(cli) == [("candidate", "to do")] * 2


def test_status_says_what_follows_when_all_that_is_known_is_done(searched: Path, cli: Cli) -> None:
    """Killed after the last candidate, before anything else was planned."""
    cli("dst-sweep", "tiny.toml", "--limit", "2")
    plan = searched / "plan.json"
    document = json.loads(plan.read_text())
    command = document["commands"][0]
    candidates = [run_id for run_id, role in command["roles"].items() if role == "candidate"]
    command |= {"run_ids": candidates, "roles": dict.fromkeys(candidates, "candidate"), "then": THEN}
    plan.write_text(json.dumps(document | {"run_ids": candidates}))
    text = cli("status").out
    assert "stopped" in text
    assert f"once all runs have a result: {THEN}" in text
    cli("dst-sweep", "tiny.toml")
    assert "complete" in cli("status").out


def test_stale_candidates_are_trained_again_before_anything_is_chosen(searched: Path, cli: Cli) -> None:
    cli("dst-sweep", "tiny.toml")
    for path in searched.glob("runs/*/record.json"):
        record = json.loads(path.read_text())
        record["provenance"]["data_fingerprint"] = "0" * 12
        path.write_text(json.dumps(record))
    assert "2 finished runs are stale" in cli("dst-sweep", "tiny.toml").err
    kept = cli("dst-sweep", "tiny.toml", "--stale", "keep")
    assert (kept.code, "0 runs to do, 4 done before" in kept.err) == (0, True)
    redone = cli("dst-sweep", "tiny.toml", "--stale", "redo")
    assert (redone.code, "4 runs to do, 0 done before" in redone.err) == (0, True)
    fingerprints = {record.provenance["data_fingerprint"] for record in Store(searched).records()}
    assert len(fingerprints) == 1
    assert fingerprints != {"0" * 12}


def test_a_search_that_makes_no_sense_is_told_before_training(searched: Path, cli: Cli) -> None:
    Path("bad.toml").write_text(SEARCHED.replace("[run.data]", '[run.data]\ntrain_on = "train+val"'))
    for command in (("recipes", "validate"), ("plan",), ("dst-sweep",)):
        answer = cli(*command, "bad.toml")
        assert (answer.code, "which is trained on here" in answer.err) == (2, True)
    assert not searched.exists()
