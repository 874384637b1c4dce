"""Both smoke recipes reach the accuracies that twenty seeds of each method say they should."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from petlsparse.analysis.compare import compare
from petlsparse.analysis.load import load_runs
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import load_recipe
from petlsparse.tracking.store import Store

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
CHANCE = 1e-3
"""That a method falls outside of its interval though nothing has changed: twelve methods, and seldom other hardware."""


def accuracies(folder: Path, seeds: range) -> dict[str, list[float]]:
    """Method -> test accuracies of its runs with these seeds."""
    loaded = load_runs([folder])
    runs = {run["run_id"]: run for run in loaded}
    (comparison,) = compare(loaded)
    chosen = {row.method: [runs[run_id] for run_id in row.run_ids] for row in comparison.rows}
    return {name: [run["test_accuracy"] for run in each if run["seed"] in seeds] for name, each in chosen.items()}


def interval(known: list[float], n: int) -> tuple[float, float]:
    """Where the mean of n further runs falls, but for a chance of `CHANCE`: Student's prediction interval."""
    values = pd.Series(known)
    quantile = stats.t.ppf(1 - CHANCE / 2, len(values) - 1)
    reach = quantile * values.std() * math.sqrt(1 / len(values) + 1 / n)
    return values.mean() - reach, values.mean() + reach


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dst-smoke", "adapter-smoke"])
def test_a_smoke_recipe_reaches_its_accuracies(name: str, tmp_path: Path) -> None:
    # Where the recipes are trained already, as in CI, this finds every run finished.
    store = Store.create(Path(os.environ.get("SMOKE_STORES", tmp_path)) / name)
    recipe = load_recipe(name)
    summary = execute_plan(replace(recipe, launch=recipe.launch.overridden({"workers": 2})), store, device="cpu")
    assert set(summary.statuses.values()) == {"done"}
    found, known = accuracies(store.path, range(1, 4)), accuracies(REFERENCE / name, range(4, 21))
    assert found.keys() == known.keys()
    for method, values in found.items():
        assert (len(values), len(known[method])) == (3, 17)
        low, high = interval(known[method], 3)
        assert low <= sum(values) / 3 <= high, (method, values, low, high)


@pytest.mark.parametrize("name", ["dst-smoke", "adapter-smoke"])
def test_the_intervals_would_notice_a_method_gone_wrong(name: str) -> None:
    """None is wider than six points either way, and chance is far below all of them."""
    for known in accuracies(REFERENCE / name, range(4, 21)).values():
        low, high = interval(known, 3)
        assert high - low < 12
        assert low > 50
