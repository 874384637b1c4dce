"""What does a study command do with a plan that is finished already, and how does it grow with the number of runs?"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Comparison, Contestant, Effort, compare
from petlsparse.analysis.compare import compare as compare_runs
from petlsparse.analysis.load import load_runs
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import load_recipe
from petlsparse.recipe.loading import Recipe
from petlsparse.recipe.schema import Run
from petlsparse.studies import STUDIES, names
from petlsparse.tracking.compaction import compact
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.provenance import of_command
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store

RECIPE = """
study = "dst-sweep"
seeds = 20
[run]
data = {{ name = "digits" }}
network = {{ name = "mlp", widths = [20, 10] }}
training = {{ duration = "20 epochs" }}
optimizer = {{ name = "sgd" }}
[grid]
"optimizer.lr" = {rates}
"method.density" = [0.05, 0.1, 0.15, 0.2, 0.25]
[[arms]]
method = {{ kind = "static" }}
"""
RUNS_OF_A_RATE = 20 * 5


def run(effort: Effort) -> Iterator[Comparison]:
    """Stores that are full, from the recipe to the comparison; times are of one run of the plan."""
    with TemporaryDirectory() as folder:
        stores = {n: finished(Path(folder), n) for n in ((100, 200) if effort.quick else (1_000, 10_000, 100_000))}
        yield compare(
            "a finished plan is recognised and nothing is trained: recipe, records, plan, tables",
            [Contestant(f"{n:,} runs", partial(recognised, *store), parts=n) for n, store in stores.items()],
            rounds=effort.at_most(3),
            by="wall",
        )
        yield compare(
            "the comparison of a finished plan",
            [Contestant(f"{n:,} runs", partial(compared, store), parts=n) for n, (_, store) in stores.items()],
            rounds=effort.at_most(3),
            by="wall",
            notes=[f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB"],
        )


def recognised(recipe: Path, store: Store) -> None:
    """What a study command does, from the recipe to the last look at its tables. RuntimeError unless all is done."""
    loaded = load_recipe(recipe, names=names())
    summary = execute_plan(loaded, store, studies=STUDIES, device="cpu")
    if set(summary.statuses.values()) != {"done"}:
        raise RuntimeError(f"not all runs are done: {summary.statuses}")


def compared(store: Store) -> None:
    """What its table is made of."""
    compare_runs(load_runs([store.path]))


def finished(folder: Path, runs: int) -> tuple[Path, Store]:
    """A recipe of so many runs, and a store in which all of them are done."""
    path, store = folder / f"{runs}.toml", Store.create(folder / str(runs))
    rates = [0.001 * (1 + at) for at in range(runs // RUNS_OF_A_RATE)]
    path.write_text(RECIPE.format(rates=rates))
    recipe, common = load_recipe(path, names=names()), of_command()
    for one in recipe.runs:
        store.run_dir(one.run_id).mkdir()
        document = made_up(one, recipe, common).to_json()
        (store.run_dir(one.run_id) / "record.json").write_text(json.dumps(document, separators=(",", ":")))
    store.write_plan(Plan(recipe.name, tuple(one.run_id for one in recipe.runs), recipe.text, recipe.resolved))
    compact(store)
    return path, store


def made_up(one: Run, recipe: Recipe, common: dict[str, object]) -> Record:
    """The record of a run of 20 epochs as it might have come out."""
    history = [
        [352 * epoch, epoch, split, metric, 0.5]
        for epoch in range(1, 21)
        for split in ("train", "val")
        for metric in ("loss", "accuracy")
    ]
    return Record(
        run_id=one.run_id,
        study=one.study,
        recipe=recipe.name,
        status="done",
        settings=one.settings(),
        metrics={"test_accuracy": 90.0 + one.seed / 10, "test_loss": 0.25, "val_accuracy_best": 91.0, "steps": 7040},
        history=history,
        cost={"wall_seconds": 10.0, "train_seconds": 9.0, "total_parameters": 1610, "training_flops": 2.5e10},
        provenance=common | {"device": "cpu", "threads": 1, "started": "2026-01-01T00:00:00.000+00:00"},
    )
