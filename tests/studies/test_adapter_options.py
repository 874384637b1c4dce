"""Options of adapters in runs: what has state is resumed, cached and trained as one with the results that it should."""

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


def run(**changes: Any) -> Run:
    return make(ADAPTED, method={**ADAPTED["method"], **changes})


def test_a_stopped_run_with_dropout_ends_where_a_whole_one_does_to_the_bit(tmp_path: Path) -> None:
    dropping = run(dropout=0.3, scale_kind="channel", init="bert", scale=0.5)
    whole = execute(dropping, tmp_path / "whole", keep="last")
    calls = iter([False] * 4 + [True])
    assert execute(dropping, tmp_path / "cut", keep="last", stop=lambda: next(calls)).status == "interrupted"
    assert lasting(execute(dropping, tmp_path / "cut", keep="last")) == lasting(whole)
    ours, theirs = (load_file(tmp_path / folder / "last.safetensors") for folder in ("cut", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [tuple(tensor.shape) for name, tensor in ours.items() if name.endswith("alpha")] == [(96,)] * 3


def test_dropout_is_the_same_on_cached_values_and_changes_the_result(tmp_path: Path) -> None:
    execution = replace(INSPECT_ONLY, cache_memory=2**30, cache_folder=tmp_path / "cache")
    dropping, training = run(dropout=0.3, scale_kind="fixed", scale=0.5), {"batch_size": 25, "duration": "1 epoch"}
    dropping, keeping = (
        make(each.settings(), training=training) for each in (dropping, run(scale_kind="fixed", scale=0.5))
    )
    cached = execute(dropping, tmp_path / "cached", execution=execution, keep="last")
    assert cached.provenance_extra["frozen_values"] == "float32"
    on_images, without = (lasting(execute(each, tmp_path / each.run_id))["metrics"] for each in (dropping, keeping))
    assert lasting(cached)["metrics"] == pytest.approx(on_images, rel=1e-4)
    assert without["train_loss_last"] != pytest.approx(on_images["train_loss_last"], rel=1e-6)
    # What is fixed is told, and not among the weights that were trained.
    assert [row["value"] for row in cached.rows["edges"] if row["score_name"] == "scale"] == [0.5] * 3
    assert not any(name.endswith("alpha") for name in load_file(tmp_path / "cached" / "last.safetensors"))


def test_runs_with_dropout_are_trained_alone_and_those_of_other_scales_apart() -> None:
    kinds = ("scalar", "channel", "fixed")
    keys = {kind: cohort_key(run(scale_kind=kind), "cpu", Execution(cohort=4)) for kind in kinds}
    assert None not in keys.values()
    assert len(set(keys.values())) == 3
    assert cohort_key(run(init="bert", scale=2.0), "cpu", Execution(cohort=4)) == keys["scalar"]
    assert cohort_key(run(dropout=0.1), "cpu", Execution(cohort=4)) is None


def test_what_is_trained_of_a_scale_is_counted() -> None:
    scalar, channel, fixed = (
        describe(run(scale_kind=kind)).cost["trainable_parameters"] for kind in ("scalar", "channel", "fixed")
    )
    assert channel - scalar == 3 * (96 - 1)  # three adapters in a network of width 96
    assert scalar - fixed == 3


EACH = 2 * 96 + 1  # LayerNorm and scale of an adapter
HEAD = 10 * 97


@pytest.mark.parametrize(("budget", "rank"), [(3 * (192 + EACH), 1), (3 * (192 * 9 + EACH) - 1, 8), (10**9, 96)])
def test_a_budget_gives_the_largest_rank_whose_adapters_fit(budget: int, rank: int) -> None:
    described = describe(run(parameters=budget))
    assert described.derived["rank"] == rank
    assert described.cost["trainable_parameters"] == 3 * (192 * rank + EACH) + HEAD
    assert described.cost == describe(run(rank=rank)).cost


def test_a_budget_counts_the_edges_that_scores_would_choose() -> None:
    placement = {"name": "top-k", "count": 2}
    by_score = run(placement=placement, score="srank", scoring_images=20, parameters=2 * (192 * 5 + EACH))
    assert not check_runs({"a": by_score}).problems["a"]
    assert describe(by_score).derived["rank"] == 5


def test_the_rank_is_a_column_and_null_where_edges_have_ranks_of_their_own() -> None:
    assert describe(run(rank=4)).derived["rank"] == 4
    mixed = describe(run(ranks=[[8, 2, 16], [3, 4, 1]]))
    assert "rank" not in mixed.derived
    assert mixed.cost["trainable_parameters"] == 192 * (16 + 1 + 8) + 3 * EACH + HEAD
    lora = describe(make(ADAPTED, method={"kind": "lora", "parameters": 6 * 3 * (96 + 288)}))
    assert lora.derived["rank"] == 3
    assert lora.cost["trainable_parameters"] == 6 * 3 * (96 + 288) + HEAD


def test_runs_are_trained_as_one_where_their_ranks_are_the_same() -> None:
    def key(**changes: Any) -> object:
        return cohort_key(run(**changes), "cpu", Execution(cohort=4))

    assert key(ranks=[[8, 2, 16]]) is None
    assert key(parameters=5000) == key(parameters=5000, scale=2.0) != key(parameters=6000)
    assert key(parameters=5000) != key(parameters=5000, placement="all-parallel")  # another number of adapters
    assert key(placement="all-parallel") == key()


def test_what_says_the_same_ranks_is_the_same_run() -> None:
    several = run(ranks=[[8, 2, 16], [3, 4, 1]])
    assert several.run_id == run(ranks=[[3, 4, 1], [8, 2, 16], [5, 9, 8]]).run_id != run().run_id
    assert run(ranks=[[8, 2, 8]]).run_id == run().run_id == run(ranks=[]).run_id
    assert make(several.settings()).run_id == several.run_id
    lora = {"kind": "lora", "targets": ["qkv", "fc1"]}
    assert make(ADAPTED, method={**lora, "ranks": [["fc1", 8]]}).run_id == make(ADAPTED, method=lora).run_id


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"ranks": [[8, 2, 0]]}, "ranks"),
        ({"ranks": [[8, 2, 4], [8, 2, 5]]}, "ranks"),
        ({"ranks": [[8, 2]]}, "ranks"),
        ({"parameters": 0}, "parameters"),
        ({"parameters": 5000, "rank": 4}, "follows from the parameters"),
        ({"parameters": 5000, "ranks": [[8, 2, 4]]}, "follows from the parameters"),
        ({"placement": {"name": "top-k", "count": 2}, "score": "srank", "ranks": [[8, 2, 4]]}, "not known before"),
    ],
)
def test_ranks_without_meaning_are_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        run(**changes)


def test_ranks_that_the_backbone_cannot_have_are_told_before_training() -> None:
    wrong = {
        "no such edge": run(ranks=[[1, 1, 4]]),
        "above the width": run(rank=97),
        "one above the width": run(ranks=[[8, 2, 97]]),
        "no rank fits": run(parameters=100),
        "lora": make(ADAPTED, method={"kind": "lora", "ranks": [["fc1", 4]]}),
    }
    problems = check_runs(wrong).problems
    assert {name: [problem.where for problem in found] for name, found in problems.items()} == {
        "no such edge": ["method.ranks"],
        "above the width": ["method.rank"],
        "one above the width": ["method.ranks"],
        "no rank fits": ["method.parameters"],
        "lora": ["method.ranks"],
    }
    assert "with rank 1 there are 1155" in problems["no rank fits"][0].message  # 3 * (192 + 193)


def test_the_control_without_feedback_costs_what_the_placement_costs_and_learns_something_else(tmp_path: Path) -> None:
    control, placement = run(feedback=False), run()
    assert describe(control).cost == describe(placement).cost
    assert control.run_id != placement.run_id == run(feedback=True).run_id
    execution = replace(INSPECT_ONLY, cache_memory=2**30, cache_folder=tmp_path / "cache")
    one, other = (lasting(execute(each, tmp_path / each.run_id, execution=execution)) for each in (control, placement))
    assert one["metrics"]["train_loss_last"] != pytest.approx(other["metrics"]["train_loss_last"], rel=1e-6)
    (problem,) = check_runs({"a": run(placement="all-parallel", feedback=False)}).problems["a"]
    assert problem.where == "method.feedback"
    keys = {cohort_key(each, "cpu", Execution(cohort=4)) for each in (control, placement)}
    assert len(keys) == 2
