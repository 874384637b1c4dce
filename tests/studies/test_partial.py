"""BitFit, norm tuning and layer-wise probes as methods of adapter-search: resumed, cached, counted, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.cohorts.keys import cohort_key
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies import check_runs, describe
from tests.studies.settings import ADAPTED, execute, lasting, make

BITFIT, NORM = {"kind": "bitfit"}, {"kind": "layer-norm"}
HEAD = 10 * 97  # ten digits, width 96


def run(method: dict[str, Any], **tables: Any) -> Run:
    return make(ADAPTED, method=method, **tables)


def probe(node: int, **tables: Any) -> Run:
    return run({"kind": "layer-wise-probe", "node": node}, **tables)


def test_a_stopped_run_ends_where_a_whole_one_does_to_the_bit(tmp_path: Path) -> None:
    whole = execute(run(BITFIT), tmp_path / "whole", keep="last")
    calls = iter([False] * 4 + [True])
    assert execute(run(BITFIT), tmp_path / "cut", keep="last", stop=lambda: next(calls)).status == "interrupted"
    assert lasting(execute(run(BITFIT), tmp_path / "cut", keep="last")) == lasting(whole)
    ours, theirs = (load_file(tmp_path / folder / "last.safetensors") for folder in ("cut", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert whole.provenance_extra["frozen_values"] == "none: bitfit changes the backbone"


def test_their_cost_is_that_of_a_hand_count() -> None:
    # Six blocks: qkv 288, proj 96, fc1 384, fc2 96, two norms of 96; patches 96, the final norm 96.
    assert describe(run(BITFIT)).cost["trainable_parameters"] == 6 * (288 + 96 + 384 + 96 + 2 * 96) + 2 * 96 + HEAD
    assert describe(run(NORM)).cost["trainable_parameters"] == 2 * 96 * (6 * 2 + 1) + HEAD


def test_of_full_fine_tuning_they_save_the_products_that_give_gradients_of_weights() -> None:
    whole, bitfit, norm = (describe(run(method)).cost for method in ({"kind": "full-finetuning"}, BITFIT, NORM))
    # Each weight's gradient costs what its layer does. Attention, two products of 5 x 5 x 96, has no weights; the head
    # is trained by all.
    of_weights = whole["inference_flops"] - 6 * 2 * 2 * 5 * 5 * 96 - 2 * 96 * 10
    examples = 2 * 100
    assert whole["training_flops"] - bitfit["training_flops"] == examples * of_weights
    assert bitfit["training_flops"] == norm["training_flops"]
    assert bitfit["inference_flops"] == whole["inference_flops"]


def test_a_probe_costs_what_lies_below_its_node() -> None:
    costs = [describe(probe(node)).cost for node in (2, 4, 12)]
    assert [cost["trainable_parameters"] for cost in costs] == [HEAD] * 3
    # A block: 4 products of the five tokens with d x d, 8 of the MLP, and two of attention, 5 x 5 x d.
    block = 2 * 5 * 12 * 96**2 + 2 * 2 * 5 * 5 * 96
    assert costs[1]["inference_flops"] - costs[0]["inference_flops"] == block
    assert costs[2] == describe(run({"kind": "linear-probe"})).cost


def test_a_probe_of_the_last_node_is_the_linear_probe_and_others_are_not(tmp_path: Path) -> None:
    execution = replace(INSPECT_ONLY, cache_memory=2**30, cache_folder=tmp_path / "cache")
    results = {
        name: execute(each, tmp_path / name, execution=execution)
        for name, each in {"probe": run({"kind": "linear-probe"}), "12": probe(12), "6": probe(6)}.items()
    }
    assert {result.provenance_extra["frozen_values"] for result in results.values()} == {"float32"}
    assert lasting(results["12"]) == lasting(results["probe"])
    assert lasting(results["6"])["metrics"] != lasting(results["probe"])["metrics"]
    assert lasting(execute(probe(6), tmp_path / "images"))["metrics"] == pytest.approx(
        lasting(results["6"])["metrics"], rel=1e-4
    )


def test_all_are_trained_one_by_one() -> None:
    for each in (run(BITFIT), run(NORM), probe(6)):
        assert cohort_key(each, "cuda", Execution(cohort=4)) is None


def test_what_has_no_meaning_is_told_before_training() -> None:
    head_lr = {"name": "adamw", "lr": 3e-3, "head_lr": 0.1}
    rounded = {**ADAPTED["backbone"], "frozen_precision": "bf16"}
    wrong = {
        "no node": probe(13),
        "class token": probe(0),
        "head": probe(6, optimizer=head_lr),
        "rounded": run(NORM, backbone=rounded),
        "decay": probe(6, optimizer={"name": "adamw", "lr": 3e-3, "layer_decay": 0.5}),
    }
    problems = check_runs({**wrong, "good": probe(6, backbone=rounded)}).problems
    assert {name: [problem.where for problem in found] for name, found in problems.items()} == {
        "no node": ["method.node"],
        "class token": ["method.node"],
        "head": ["optimizer.head_lr"],
        "rounded": ["backbone.frozen_precision"],
        "decay": ["optimizer.layer_decay"],
        "good": [],
    }
