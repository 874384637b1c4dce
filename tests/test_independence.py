"""A run's result depends on no other run: alone, in a cohort, in any order, from any launcher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import load_recipe
from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.store import Store

HEAD = {
    "dst-sweep": """
        study = "dst-sweep"
        seeds = {seeds}
        [run]
        data = {{ name = "digits" }}
        network = {{ name = "mlp", widths = [60, 30] }}
        optimizer = {{ name = "sgd", lr = 0.05 }}
        training = {{ batch_size = 64, duration = "1 epoch" }}
    """,
    "adapter-search": """
        study = "adapter-search"
        seeds = {seeds}
        [run]
        data = {{ name = "digits", train_examples = 50 }}
        backbone = {{ pretrained = false, image_size = 16 }}
        optimizer = {{ name = "adamw", lr = 1e-3 }}
        training = {{ batch_size = 25, duration = "2 epochs" }}
    """,
}
ARMS = {
    "dst-sweep": [
        '{ kind = "static", density = 0.2 }',
        '{ kind = "dst", density = 0.2, criterion = "snip", growth = "gradient", update_period = 5 }',
        '{ kind = "dst", density = 0.2, criterion = "random", growth = "random", update_period = 5 }',
    ],
    "adapter-search": [
        '{ kind = "linear-probe" }',
        '{ kind = "adapters", placement = { name = "random", count = 3 } }',
        '{ kind = "adapters", placement = { name = "explicit", edges = [[12, 8], [7, 9]] } }',
    ],
}


def trained(study: str, folder: Path, *, workers: int, backwards: bool) -> dict[str, pd.DataFrame]:
    """The tables of the study's runs, executed as asked, in an order that does not tell how."""
    arms = ARMS[study][::-1] if backwards else ARMS[study]
    text = HEAD[study].format(seeds=[2, 1] if backwards else [1, 2])
    path = folder / "recipe.toml"
    folder.mkdir()
    path.write_text(text + "".join(f"\n[[arms]]\nmethod = {arm}\n" for arm in arms))
    store = Store.create(folder / "store")
    recipe = load_recipe(path)
    summary = execute_plan(
        replace(recipe, launch=recipe.launch.overridden({"workers": workers})),
        store,
        device="cpu",
    )
    assert set(summary.statuses.values()) == {"done"}
    keys = ["run_id", "step", "split", "metric", "layer", "source", "target", "score_name"]
    tables = {name: read_table(store, name) for name in ("metrics", "topology", "edges")}
    runs = read_table(store, "runs")
    if study == "adapter-search":
        assert set(runs["frozen_values"]) == {"float32"}
    else:
        assert set(runs["cohort"]) == {6 // max(workers, 1)}  # trained as one: three and three, or all six
    tables["runs"] = runs[["run_id", *(c for c in runs if c.startswith(("test_", "val_", "train_loss", "best_")))]]
    return {
        name: table.sort_values([key for key in keys if key in table]).reset_index(drop=True)
        for name, table in tables.items()
    }


@pytest.mark.parametrize("study", ["dst-sweep", pytest.param("adapter-search", marks=pytest.mark.slow)])
def test_number_of_workers_and_order_change_nothing(study: str, tmp_path: Path) -> None:
    alone = trained(study, tmp_path / "alone", workers=0, backwards=False)
    together = trained(study, tmp_path / "together", workers=2, backwards=True)
    assert len(alone["runs"]) == 2 * len(ARMS[study])
    assert len(alone["metrics"]) > 0
    for name, table in alone.items():
        pd.testing.assert_frame_equal(table, together[name], check_exact=True)
