"""Results of other data or weights than are there now are told, never averaged with others, and the user decides."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from petlsparse.analysis.runs import Runs
from petlsparse.launch.events import CommandSummary
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import Recipe

from .conftest import Answer, Cli
from .test_user_errors import assert_told

DENSE = """\
study = "dst-sweep"
seeds = 2
[run]
data = { name = "folder:toy", image_size = 8 }
network = { name = "mlp", widths = [4] }
optimizer = { name = "sgd", lr = 0.1 }
training = { batch_size = 12, duration = "2 steps", evaluate_every = "1 step" }
method = { kind = "dense" }
"""

PROBE = """\
study = "adapter-search"
seeds = 2
[run]
data = { name = "digits", train_examples = 20 }
backbone = { name = "local-dir:vit", image_size = 32 }
optimizer = { name = "adamw", lr = 1e-3 }
training = { batch_size = 20, duration = "1 step" }
method = { kind = "linear-probe" }
"""


def write_images(folder: Path, count: int, seed: int = 0) -> None:
    """`count` random images for each of two classes, all files of equal size."""
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.random.default_rng([seed, number, kind == "cat"]).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.bmp")


def write_toy(folder: Path) -> None:
    for seed, (part, count) in enumerate({"train": 6, "val": 2, "test": 3}.items()):
        write_images(folder / part, count, seed)


def save_vit(folder: Path, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vit = timm.create_model("test_vit", num_classes=2, img_size=32)
    timm.models.save_for_hf(vit, str(folder), safe_serialization=True)


def in_this_process(recipe: Recipe, *arguments: Any, **options: Any) -> CommandSummary:
    recipe = replace(recipe, launch=recipe.launch.overridden({"workers": 0}))
    return execute_plan(recipe, *arguments, **options)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, with the user's cache in it, data, a checkpoint and the two recipes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "cache" / "petlsparse"))
    monkeypatch.delenv("PETLSPARSE_DATA", raising=False)
    monkeypatch.setattr("petlsparse.launch.plan.execute_plan", in_this_process)
    (tmp_path / "toy.toml").write_text(DENSE)
    (tmp_path / "probe.toml").write_text(PROBE)
    write_toy(tmp_path / "data" / "toy")
    save_vit(tmp_path / "vit", seed=1)
    return tmp_path


def train(cli: Cli, *flags: object, recipe: str = "toy.toml") -> Answer:
    study = "dst-sweep" if recipe.startswith("toy") else "adapter-search"
    answer = cli(study, recipe, "--out", "out", *flags)
    assert "Traceback" not in answer.err
    return answer


def compared(cli: Cli, *stores: object, flags: Sequence[str] = ()) -> list[dict[str, Any]]:
    answer = cli("compare", *stores or ["out"], "--json", *flags)
    assert answer.code == 0, answer.err
    rows: list[dict[str, Any]] = json.loads(answer.out)
    return rows


def planned(cli: Cli, *flags: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(cli("plan", "toy.toml", "--out", "out", "--json", *flags).out)
    return rows


# -- what is stale, and what is not ----------------------------------------------------------------------------------


def images_added(home: Path) -> None:
    write_images(home / "data" / "toy" / "train", 8, seed=0)


def images_replaced_in_place(home: Path) -> None:
    before = {path: path.stat().st_size for path in home.glob("data/toy/train/*/*")}
    write_images(home / "data" / "toy" / "train", 6, seed=99)
    assert {path: path.stat().st_size for path in home.glob("data/toy/train/*/*")} == before


def validation_images_replaced(home: Path) -> None:
    write_images(home / "data" / "toy" / "val", 2, seed=99)


def labels_exchanged(home: Path) -> None:
    train = home / "data" / "toy" / "train"
    (train / "cat").rename(train / "other")
    (train / "dog").rename(train / "cat")
    (train / "other").rename(train / "dog")


@pytest.mark.parametrize(
    "change", [images_added, images_replaced_in_place, validation_images_replaced, labels_exchanged]
)
def test_results_of_changed_data_stop_the_command_and_say_what_to_do(home: Path, cli: Cli, change: Any) -> None:
    assert train(cli).code == 0
    assert train(cli).code == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in home.glob("out/**/*"))
    change(home)
    answer = train(cli)
    assert_told(answer, "out: 2 finished runs are stale", "folder:toy: the training or validation data (2 runs)")
    assert all(f"--stale {choice}" in answer.err for choice in ("refuse", "keep", "redo"))
    assert answer.err.count("error") == 1
    assert sorted((path, path.stat().st_mtime_ns) for path in home.glob("out/**/*")) == before


def test_a_changed_test_part_alone_makes_results_stale(home: Path, cli: Cli) -> None:
    assert train(cli, "--seeds", "1").code == 0
    write_images(home / "data" / "toy" / "test", 3, seed=99)
    assert_told(train(cli), "1 finished run is stale", "folder:toy: the test data (1 run)")
    assert train(cli, "--stale", "keep").code == 0
    old, new = compared(cli)
    assert (old["n"], new["n"]) == (1, 1)
    assert "data_fingerprint" not in old
    assert old["test_fingerprint"] != new["test_fingerprint"]


def test_weights_replaced_in_place_make_results_stale(home: Path, cli: Cli) -> None:
    assert train(cli, recipe="probe.toml").code == 0
    save_vit(home / "vit", seed=2)
    assert_told(train(cli, recipe="probe.toml"), "local-dir:vit: the weights of the backbone (2 runs)")


def test_equal_weights_in_a_changed_forward_pass_make_results_stale(home: Path, cli: Cli) -> None:
    assert train(cli, recipe="probe.toml").code == 0
    config = home / "vit" / "config.json"
    content = json.loads(config.read_text())
    content["model_args"] = content.get("model_args", {}) | {"num_heads": 1}
    config.write_text(json.dumps(content))
    answer = train(cli, recipe="probe.toml")
    assert_told(answer, "local-dir:vit: the backbone's forward pass (2 runs)")
    assert "the weights of the backbone" not in answer.err


def test_data_of_the_same_name_from_another_working_directory_are_other_data(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(cli).code == 0
    elsewhere = home / "elsewhere"
    write_images(elsewhere / "data" / "toy", 12, seed=99)
    monkeypatch.chdir(elsewhere)
    answer = cli("dst-sweep", home / "toy.toml", "--out", home / "out")
    assert_told(answer, "2 finished runs are stale", "folder:toy")


def test_equal_content_at_another_place_is_the_same(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(cli).code == train(cli, recipe="probe.toml").code == 0
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    for name in ("data", "vit"):
        shutil.move(home / name, elsewhere / name)
    monkeypatch.chdir(elsewhere)
    for study, recipe in (("dst-sweep", "toy.toml"), ("adapter-search", "probe.toml")):
        answer = cli(study, home / recipe, "--out", home / "out")
        assert answer.code == 0, answer.err
        assert "0 runs to do, 2 done before" in answer.err


def test_random_weights_differ_by_seed_and_are_not_stale(home: Path, cli: Cli) -> None:
    flags = ("--set", "backbone.pretrained=false")
    assert train(cli, *flags, recipe="probe.toml").code == 0
    assert "0 runs to do, 2 done before" in train(cli, *flags, recipe="probe.toml").err
    (row,) = compared(cli)
    assert row["n"] == 2


def test_records_that_do_not_say_what_they_rest_on_are_not_stale(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    for path in home.glob("out/runs/*/record.json"):
        record = json.loads(path.read_text())
        record["provenance"] = {}
        path.write_text(json.dumps(record))
    images_added(home)
    assert "0 runs to do, 2 done before" in train(cli).err


def test_finished_runs_whose_data_are_gone_are_shown_and_cannot_be_checked(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    shutil.rmtree(home / "data")
    answer = train(cli)
    assert answer.code == 0
    assert "whether 2 runs are stale cannot be checked" in answer.err
    assert "folder:toy: not found" in answer.err
    assert_told(train(cli, "--seeds", 3), "folder:toy: not found")


# -- keep and redo ---------------------------------------------------------------------------------------------------


def test_kept_results_count_as_finished_and_are_marked(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    images_added(home)
    answer = train(cli, "--stale", "keep", "--seeds", 3)
    assert answer.code == 0
    assert "1 run to do, 2 done before" in answer.err
    assert "2 finished runs are stale" in answer.err
    old, new = (line for line in answer.out.splitlines() if " dense " in line)
    assert "train/val data" in old
    assert "train/val data" not in new
    stale = {run["seed"]: run["stale"] for run in json.loads(train(cli, "--stale", "keep", "--json").out)}
    assert stale == {1: ["data_fingerprint"], 2: ["data_fingerprint"]}


def test_redone_results_are_set_aside_and_nothing_is_lost(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    before = {path: path.read_bytes() for path in home.glob("out/runs/*/record.json")}
    images_added(home)
    answer = train(cli, "--stale", "redo", "--set", "output.save_weights=best")
    assert answer.code == 0
    assert "2 runs to do, 0 done before" in answer.err
    assert "finished runs have no" not in answer.err
    for path, content in before.items():
        assert (path.parent / "stale-1" / "record.json").read_bytes() == content
        assert (path.parent / "stale-1" / "log.txt").exists()
        assert path.read_bytes() != content
    assert "0 runs to do, 2 done before" in train(cli).err
    (row,) = compared(cli)
    assert (row["n"], row["done"]) == (2, 2)
    images_replaced_in_place(home)
    assert train(cli, "--stale", "redo").code == 0
    assert all((path.parent / "stale-2" / "record.json").exists() for path in before)


def test_only_stale_results_are_redone(home: Path, cli: Cli) -> None:
    assert train(cli, "--seeds", "1").code == 0
    images_added(home)
    assert train(cli, "--seeds", "2,3").code == 0
    answer = train(cli, "--seeds", 3, "--stale", "redo")
    assert "1 run to do, 2 done before" in answer.err
    assert len([*home.glob("out/runs/*/stale-1")]) == 1


# -- plan, compare and show say so -----------------------------------------------------------------------------------


def test_a_plan_shows_what_is_stale_and_what_could_be_done(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    images_added(home)
    runs = planned(cli, "--seeds", 3)
    assert [(run["state"], run["stale"]) for run in runs] == [
        ("stale", ["data_fingerprint"]),
        ("stale", ["data_fingerprint"]),
        ("to do", []),
    ]
    for answer in (cli("plan", "toy.toml", "--out", "out", "--seeds", 3), train(cli, "--seeds", 3, "--dry-run")):
        assert answer.code == 0
        assert "3 runs: 2 stale, 1 to do" in answer.out
        assert "folder:toy: the training or validation data (2 runs)" in answer.out
        assert all(f"--stale {choice}" in answer.out for choice in ("refuse", "keep", "redo"))


def test_two_commands_with_different_seeds_over_changed_data_are_two_rows(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    images_added(home)
    assert train(cli, "--seeds", "3").code == 2
    (home / "more.toml").write_text(DENSE.replace("seeds = 2", "seeds = [3]"))
    assert cli("dst-sweep", "more.toml", "--out", "out").code == 0
    new, old = sorted(compared(cli), key=lambda row: row["n"])
    assert (old["n"], new["n"]) == (2, 1)
    assert old["data_fingerprint"] != new["data_fingerprint"]
    for style in ("rich", "markdown", "latex", "csv"):
        text = cli("compare", "out", "--format", style).out
        assert old["data_fingerprint"][:6] in text
        assert new["data_fingerprint"][:6] in text
    assert "Runs that differ in the training or validation data are rows apart" in cli("compare", "out").out


def test_a_comparison_looks_at_what_is_there_now_when_asked(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    assert [row["stale"] for row in compared(cli)] == [None]
    assert [row["stale"] for row in compared(cli, flags=["--check"])] == [[]]
    images_added(home)
    assert [row["stale"] for row in compared(cli, flags=["--check"])] == [["data_fingerprint"]]
    assert "Stale: the training or validation data of that row" in cli("compare", "out", "--check").out


def test_a_run_says_whether_it_is_stale(home: Path, cli: Cli) -> None:
    assert train(cli).code == 0
    run_id = next(home.glob("out/runs/*")).name
    assert "stale" not in cli("show", run_id, "--out", "out").out
    assert "not stale" in cli("show", run_id, "--out", "out", "--check").out
    images_added(home)
    text = cli("show", run_id, "--out", "out", "--check").out
    assert "stale: the training or validation data differ from what is there now" in text
    assert json.loads(cli("show", run_id, "--out", "out", "--check", "--json").out)["stale"] == ["data_fingerprint"]
    shutil.rmtree(home / "data")
    answer = cli("show", run_id, "--out", "out", "--check")
    assert answer.code == 0
    assert "cannot be checked" in answer.out
    assert "folder:toy: not found" in answer.err


def test_one_run_in_two_stores_with_other_content_is_two_rows(home: Path, cli: Cli) -> None:
    assert train(cli, "--seeds", "1").code == 0
    shutil.copytree(home / "out", home / "copy")
    images_added(home)
    assert train(cli, "--stale", "redo", "--seeds", "1").code == 0
    assert [row["n"] for row in compared(cli, "out", "copy")] == [1, 1]
    assert [row["n"] for row in compared(cli, "out", "out/../out")] == [1]


def test_one_run_in_two_stores_with_other_results_counts_once_and_is_told(home: Path, cli: Cli) -> None:
    assert train(cli, "--seeds", "1").code == 0
    shutil.copytree(home / "out", home / "copy")
    (path,) = home.glob("copy/runs/*/record.json")
    record = json.loads(path.read_text())
    record["metrics"]["test_accuracy"] += 1.0
    path.write_text(json.dumps(record))
    answer = cli("compare", "out", "copy", "--json")
    assert [row["test_accuracy_mean"] for row in json.loads(answer.out)] == [record["metrics"]["test_accuracy"] - 1.0]
    assert "copy: 1 run has other results here" in answer.err


# -- --fresh through a link ------------------------------------------------------------------------------------------


def test_fresh_sets_aside_what_a_link_leads_to_and_keeps_the_link(home: Path, cli: Cli) -> None:
    (home / "disk" / "results").mkdir(parents=True)
    (home / "out").symlink_to("disk/results")
    assert train(cli).code == 0
    assert train(cli, "--fresh", "--limit", 0).code == 0
    assert (home / "out").is_symlink()
    assert (home / "out").resolve() == home / "disk" / "results"
    (aside,) = (home / "disk").glob("results.before-*")
    assert len(list(aside.glob("runs/*/record.json"))) == 2
    assert list(home.glob("out/runs/*/record.json")) == []


def test_what_another_command_finishes_while_this_one_waits_is_looked_at_too(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(cli).code == 0
    images_added(home)
    before = sorted((path, path.stat().st_mtime_ns) for path in home.glob("out/runs/**/*"))
    monkeypatch.setattr(
        "petlsparse._cli._survey.recorded_runs", lambda folder: Runs.of([])
    )  # nothing was there at first
    assert_told(train(cli), "out: 1 finished run is stale", "folder:toy: the training or validation data (1 run)")
    assert sorted((path, path.stat().st_mtime_ns) for path in home.glob("out/runs/**/*")) == before
