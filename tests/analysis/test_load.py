"""Rows as they are read from stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from petlsparse.analysis.compare import compare
from petlsparse.analysis.comparison import UNREAD
from petlsparse.analysis.estimate import Estimates
from petlsparse.analysis.load import load_runs
from petlsparse.analysis.plan_summary import plan_summary
from petlsparse.analysis.runs import Runs
from petlsparse.recipe.loading import parse_run
from petlsparse.studies import Description
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import COST_COLUMNS, METRIC_COLUMNS, PROVENANCE_COLUMNS, Column


def test_runs_from_before_a_setting_existed_are_of_one_arm_with_later_ones(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    before = {"study": "adapter-search", "backbone": {"name": "vit-micro"}, "method": {"kind": "linear-probe"}}
    after = before | {"training": {"select_by": "accuracy"}}
    for seed, settings in enumerate((before, after), 1):
        metrics = {"test_accuracy": 50.0 + seed, "test_loss": 1.0, "val_accuracy_best": 50.0}
        settings = settings | {"seed": seed}
        store.write_record(Record(f"{seed:012}", "adapter-search", "r", "done", settings, metrics=metrics))
    runs = load_runs([tmp_path])
    assert runs["training_select_by"] == ["accuracy", "accuracy"]
    (comparison,) = compare(runs)
    assert [len(row.run_ids) for row in comparison.rows] == [2]


def test_one_run_on_other_content_in_another_store_is_a_run_of_its_own(tmp_path: Path) -> None:
    metrics = {"test_accuracy": 50.0, "test_loss": 1.0, "val_accuracy_best": 50.0}
    settings = {"study": "dst-sweep", "method": {"kind": "dense"}, "seed": 1}
    for name, data in (("one", "a" * 12), ("same", "a" * 12), ("other", "b" * 12)):
        made = {"data_fingerprint": data}
        record = Record("1" * 12, "dst-sweep", "r", "done", settings, metrics=metrics, provenance=made)
        Store.create(tmp_path / name).write_record(record)
    runs = load_runs([tmp_path / "one", tmp_path / "same", tmp_path / "other"])
    assert runs["data_fingerprint"] == ["a" * 12, "b" * 12]


COMMON = {
    "data": {"name": "digits"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "training": {"duration": "1 epoch"},
}
SPARSE = COMMON | {"study": "dst-sweep", "network": {"name": "mlp"}, "method": {"kind": "static", "density": 0.1}}
DRAWN = COMMON | {
    "study": "adapter-search",
    "method": {"kind": "adapters", "placement": {"name": "random", "count": 2, "seed": 1}, "rank": 2},
}


def filled(settings: dict[str, Any], seed: int) -> Record:
    """A finished run with a value of its own in every column."""

    def values(columns: tuple[Column, ...]) -> dict[str, Any]:
        made = {"string": f"text {seed}", "int64": seed, "float64": seed / 2, "bool": True}
        return {column.name: made[column.dtype] for column in columns}

    run = parse_run(settings | {"seed": seed})
    provenance = values(PROVENANCE_COLUMNS) | {"device": "cpu", "test_fingerprint": "same"}
    record = Record(run.run_id, run.study, "recipe", "done", run.settings(), attempts=seed, error=f"error {seed}")
    return replace(record, metrics=values(METRIC_COLUMNS), cost=values(COST_COLUMNS), provenance=provenance)


@pytest.mark.parametrize("settings", [SPARSE, DRAWN], ids=["sparse", "drawn"])
def test_what_is_left_out_of_rows_changes_no_comparison_plan_or_estimate(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    store = Store.create(tmp_path)
    records = [filled(settings, seed) for seed in (1, 2, 3)]
    for record in records:
        store.write_record(record)
    runs = [parse_run(record.settings) for record in records]
    present = {run.run_id: {"test_fingerprint": "other"} for run in runs}
    described = Description({}, {"test_fingerprint": "other"})

    def answers(recorded: Runs) -> tuple[Any, ...]:
        plan = plan_summary(runs, recorded, lambda _: described, lambda _: None)
        return compare(recorded, present), plan, Estimates(recorded, "cpu").seconds(runs[0].flat())

    all_columns, fewer = load_runs([tmp_path]), load_runs([tmp_path], leave_out=UNREAD)
    assert set(all_columns.columns) - set(fewer.columns) == UNREAD
    assert answers(fewer) == answers(all_columns)


def test_other_results_of_a_run_are_noticed_whatever_is_left_out(tmp_path: Path) -> None:
    record = filled(SPARSE, 1)
    other = replace(record, metrics=record.metrics | {"val_loss_last": 7.0})
    for name, each in (("one", record), ("other", other)):
        Store.create(tmp_path / name).write_record(each)
    with pytest.warns(UserWarning, match="1 run has other results here.*accuracies differ by 0 perc"):
        load_runs([tmp_path / "one", tmp_path / "other"], leave_out=UNREAD)


def test_how_far_other_results_of_runs_are_apart_is_told(tmp_path: Path) -> None:
    for name, more in (("one", 0.0), ("other", 1.0)):
        store = Store.create(tmp_path / name)
        for seed, apart, status in ((1, 0.25, "done"), (2, -1.25, "done"), (3, 0.0, "done"), (4, 0.0, "diverged")):
            record = filled(SPARSE, seed)
            accuracy = 50.0 + more * apart if status == "done" or not more else None
            store.write_record(
                replace(record, status=status if more else "done", metrics=record.metrics | {"test_accuracy": accuracy})
            )
    with pytest.warns(
        UserWarning, match="other: 3 runs have .* test accuracies differ by 1.25 percentage points at most"
    ):
        load_runs([tmp_path / "one", tmp_path / "other"])
