"""What do two one-thread workers do against one?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Comparison, Contestant, Effort, compare
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import load_recipe
from petlsparse.recipe.loading import Recipe
from petlsparse.tracking.store import Store

RECIPE = """
study = "dst-sweep"
seeds = {seeds}
[run]
data = {{ name = "{data}", augment = "crop-flip" }}
network = {{ name = "mlp", widths = {widths} }}
optimizer = {{ name = "sgd", lr = 0.05 }}
training = {{ batch_size = 128, duration = "{epochs} epochs" }}
[[arms]]
method = {{ kind = "dense" }}
[[arms]]
method = {{ kind = "dst", density = 0.05, criterion = "magnitude", growth = "gradient", update_period = 100 }}
"""
FULL = {"seeds": 4, "data": "fashion-mnist-10k", "widths": [1024, 512], "epochs": 10}
QUICK = {"seeds": 1, "data": "digits", "widths": [16], "epochs": 1}


def run(effort: Effort) -> Iterator[Comparison]:
    """A small plan from an empty store to its tables, start of the processes included."""
    plan = QUICK if effort.quick else FULL
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plan.toml"
        path.write_text(RECIPE.format(**plan))
        recipe = load_recipe(path)
        measured = compare(
            f"a plan of {len(recipe.runs)} runs: MLP {plan['widths']} on {plan['data']}, {plan['epochs']} epochs",
            [
                Contestant("one worker", partial(execute, recipe, 1)),
                Contestant("two workers", partial(execute, recipe, 2)),
            ],
            rounds=1 if effort.quick else effort.at_most(3),
            by="wall",
            warm=False,
            notes=[f"on {os.cpu_count()} cores; every worker one thread; nothing trained as one"],
        )
    rates = [
        f"{name}: {3600 * len(recipe.runs) / measured.summary(name).median:,.0f} runs/h" for name in measured.samples
    ]
    yield replace(measured, notes=[*measured.notes, "; ".join(rates)])


def execute(recipe: Recipe, workers: int) -> None:
    """All runs of the recipe into a store of their own. Raises RuntimeError unless all are done."""
    recipe = replace(recipe, launch=recipe.launch.overridden({"workers": workers}))
    with TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "store")
        summary = execute_plan(recipe, store, device="cpu", cohort_key=lambda *_: None)
    if set(summary.statuses.values()) != {"done"}:
        raise RuntimeError(f"not all runs are done: {summary.statuses}")
