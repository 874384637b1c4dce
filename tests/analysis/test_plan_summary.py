from pathlib import Path
from typing import Any

import pytest

from petlsparse.analysis.plan_summary import axes, plan_summary, total_seconds
from petlsparse.analysis.runs import Runs
from petlsparse.recipe import Recipe, Run, load_recipe
from petlsparse.studies import Description

RECIPE = """
study = "dst-sweep"
seeds = 3
run.data.name = "digits"
run.network.name = "mlp"
run.optimizer = { name = "sgd", lr = 0.1 }
run.training.duration = "1 epoch"

[[arms]]
method = { kind = "dense" }

[[arms]]
method = { kind = "static" }
grid = { "method.density" = [0.1, 0.2] }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "small.toml").write_text(RECIPE)
    return load_recipe(tmp_path / "small.toml")


def described(run: Run) -> Description:
    cost = {"trainable_parameters": getattr(run.method, "density", 1.0) * 1000}
    return Description(cost, {"data_fingerprint": "now"})


def row(run: Run, status: str, data: str | None = "now") -> dict[str, Any]:
    return {"run_id": run.run_id, "status": status, "data_fingerprint": data}


def seconds(run: Run) -> float:
    return 10.0 if run.method.kind == "dense" else 4.0


def test_arms_states_costs_and_times(recipe: Recipe) -> None:
    statuses = ["done", "diverged", "failed", "interrupted"]
    recorded = [row(run, status) for run, status in zip(recipe.runs, statuses, strict=False)]
    dense, sparse, denser = plan_summary(recipe.runs, Runs.of(recorded), described, seconds)
    assert [each.method for each in (dense, sparse, denser)] == ["dense", "static d=0.1", "static d=0.2"]
    assert dict(dense.counts) == {"done": 2, "failed": 1}  # diverged is a result
    assert dict(sparse.counts) == {"to do": 3}  # interrupted is not
    assert [each.cost["trainable_parameters"] for each in (dense, sparse, denser)] == [1000.0, 100.0, 200.0]
    # One dense run of 10 s is left, and six static runs of 4 s: 34 s for one worker, 17 s for two.
    assert [each.seconds_left for each in (dense, sparse, denser)] == [10.0, 12.0, 12.0]
    assert total_seconds([dense, sparse, denser], workers=2) == 17.0


def test_arms_that_differ_in_optimizer_and_schedule_are_described_once(tmp_path: Path) -> None:
    grid = '"optimizer.lr" = [0.1, 0.2]\n"schedule.name" = ["constant", "cosine"]'
    (tmp_path / "grid.toml").write_text(RECIPE.replace("[[arms]]", f"[grid]\n{grid}\n[[arms]]", 1))
    asked: list[Run] = []

    def describe(run: Run) -> Description:
        asked.append(run)
        return described(run)

    runs = load_recipe(tmp_path / "grid.toml").runs
    planned = plan_summary(runs, Runs.of([]), describe, seconds)
    assert len(planned) == 12
    assert [getattr(run.method, "density", 1.0) for run in asked] == [1.0, 0.1, 0.2]
    costs = {run.run_id: 1000 * getattr(run.method, "density", 1.0) for run in runs}
    assert all(each.cost["trainable_parameters"] == costs[run_id] for each in planned for run_id in each.states)


def test_more_workers_than_runs_do_not_hurry_the_longest(recipe: Recipe) -> None:
    recorded = [row(run, "done") for run in recipe.runs if run.seed > 1]
    planned = plan_summary(recipe.runs, Runs.of(recorded), described, seconds)  # runs of 10, 4 and 4 s are left
    assert [total_seconds(planned, workers) for workers in (1, 2, 3, 16)] == [18.0, 10.0, 10.0, 10.0]


def test_a_long_run_that_is_done_is_over(recipe: Recipe) -> None:
    recorded = [row(run, "done") for run in recipe.runs if run.method.kind == "dense"]
    assert total_seconds(plan_summary(recipe.runs, Runs.of(recorded), described, seconds), workers=6) == 4.0


def test_one_unknown_time_makes_the_total_unknown(recipe: Recipe) -> None:
    planned = plan_summary(recipe.runs, Runs.of([]), described, lambda run: None if run.method.kind == "dense" else 4.0)
    assert total_seconds(planned, workers=1) is None


def test_what_is_done_takes_no_time_even_if_nobody_knows_how_long_it_took(recipe: Recipe) -> None:
    planned = plan_summary(recipe.runs, Runs.of([row(run, "done") for run in recipe.runs]), described, lambda run: None)
    assert total_seconds(planned, workers=1) == 0.0


def test_stale_results_are_a_state_of_their_own_and_take_no_time_unless_redone(recipe: Recipe) -> None:
    before = [("done", "before"), ("diverged", "before"), ("failed", "before")]
    unknown = [("done", None), ("interrupted", "before"), ("done", "now")]
    recorded = [row(run, *facts) for run, facts in zip(recipe.runs, [*before, *unknown], strict=False)]
    dense, sparse, _ = plan_summary(recipe.runs, Runs.of(recorded), described, seconds)
    assert list(dense.states.values()) == ["stale", "stale", "failed"]
    assert list(sparse.states.values()) == ["done", "to do", "done"]
    assert dense.stale == {run.run_id: ("data_fingerprint",) for run in recipe.runs[:2]}
    assert (dense.seconds_left, sparse.seconds_left) == (10.0, 4.0)


def test_axes_are_the_values_that_vary_and_the_seeds(recipe: Recipe) -> None:
    assert axes(recipe.runs, recipe.varies) == {
        "method.kind": ["dense", "static"],
        "method.density": [0.1, 0.2],
        "seed": [1, 2, 3],
    }


def test_drawn_edges_are_told_apart_from_named_ones(tmp_path: Path) -> None:
    text = (
        RECIPE.replace("dst-sweep", "adapter-search").replace('run.network.name = "mlp"\n', "").partition("[[arms]]")[0]
    )
    text += '[[arms]]\nmethod = { kind = "adapters", placement = { name = "random", count = 2 } }\n'
    text += '[[arms]]\nmethod = { kind = "adapters", placement = { name = "first-k", count = 2 } }\n'
    (tmp_path / "adapters.toml").write_text(text)
    facts = {"edges": "[[0, 1], [1, 2]]"}
    runs = load_recipe(tmp_path / "adapters.toml").runs
    planned = plan_summary(runs, Runs.of([]), lambda run: Description({}, {}, facts), lambda run: None)
    assert [(each.edges, each.unsaid) for each in planned] == [(facts["edges"], True), (facts["edges"], False)]
