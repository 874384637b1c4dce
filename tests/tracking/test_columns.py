"""A column has one type in every store, whatever the runs hold: tables of different stores can be read as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from petlsparse.recipe.schema import AdapterRun, Run, SparseRun
from petlsparse.tracking.compaction import compact, read_table
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import TABLES

COMMON: dict[str, Any] = {"data": {"name": "digits"}, "training": {"duration": "2 epochs"}, "seed": 1}
SGD, ADAMW = {"name": "sgd", "lr": 0.1}, {"name": "adamw", "lr": 1e-3}
MLP = {"network": {"name": "mlp"}, "optimizer": SGD}
DST = {"kind": "dst", "density": 1, "criterion": "magnitude", "growth": "random"}

DENSE = SparseRun.model_validate(COMMON | MLP | {"method": {"kind": "dense"}})
STATIC = SparseRun.model_validate(
    COMMON
    | {"data": {"name": "digits", "train_examples": 100, "image_size": 8}, "network": {"name": "mlp", "widths": [8]}}
    | {"method": {"kind": "static", "density": 0.5}, "optimizer": ADAMW, "schedule": {"name": "step"}}
)
DYNAMIC = SparseRun.model_validate(COMMON | MLP | {"method": DST})
PROBE = AdapterRun.model_validate(COMMON | {"method": {"kind": "linear-probe"}, "optimizer": ADAMW})
ADAPTERS = AdapterRun.model_validate(
    COMMON
    | {"method": {"kind": "adapters", "placement": {"name": "random", "count": 2}}}
    | {"optimizer": ADAMW, "backbone": {"image_size": 64}}
)


def store_of(folder: Path, *runs: Run, **content: Any) -> Path:
    """A compacted store in which these runs are done."""
    store = Store.create(folder)
    for run in runs:
        settings = json.loads(json.dumps(run.settings()))
        store.write_record(Record(run.run_id, run.study, "r", "done", settings, **content))
    compact(store)
    return folder


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """One store of each kind of run, and one of them all; what was measured is whole here and fractional there."""
    kinds = {"dense": DENSE, "static": STATIC, "dynamic": DYNAMIC, "probe": PROBE, "adapters": ADAPTERS}
    return [
        *(
            store_of(tmp_path / name, run, metrics={"test_accuracy": 90, "f1": number}, cost={"joules": number})
            for (name, run), number in zip(kinds.items(), (1, 0.5, None, 2, 2**70), strict=True)
        ),
        store_of(tmp_path / "all", *kinds.values()),
    ]


def types(store: Path, table: str) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(store / f"{table}.parquet")}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_the_same_type_in_every_store(stores: list[Path], table: str) -> None:
    found = [item for store in stores for item in types(store, table).items()]
    assert len({name for name, _ in found}) == len(set(found))


def test_types_are_those_of_the_recipe(stores: list[Path]) -> None:
    for store in stores[:3]:
        expected = {
            "data_image_size": "int64",
            "data_train_examples": "int64",
            "network_widths": "string",
            "method_density": "double",
            "method_update_period": "int64",
            "method_update_last_step": "bool",
            "optimizer_nesterov": "bool",
            "optimizer_lr": "double",
            "schedule_warmup": "string",
            "schedule_milestones": "string",
            "training_duration": "string",
            "seed": "int64",
            "f1": "double",
            "joules": "double",
        }
        assert {name: kind for name, kind in types(store, "runs").items() if name in expected} == expected


def test_stores_of_one_study_have_the_same_columns(stores: list[Path]) -> None:
    dense, static, dynamic, probe, adapters, _ = (list(types(store, "runs")) for store in stores)
    assert dense == static == dynamic
    assert probe == adapters


def test_duckdb_reads_the_tables_of_any_stores_as_one(stores: list[Path]) -> None:
    def files(chosen: list[Path]) -> str:
        return str([str(store / "runs.parquet") for store in chosen])

    one_study = duckdb.sql(f"SELECT count(*), sum(seed), max(f1) FROM read_parquet({files(stores[:3])})")
    assert one_study.fetchall() == [(3, 3, 1.0)]
    everything = duckdb.sql(f"SELECT count(*), sum(method_rank) FROM read_parquet({files(stores)}, union_by_name=true)")
    assert everything.fetchall() == [(10, 16)]  # two stores hold the adapters, of rank 8
    assert duckdb.sql(f"SELECT count(method_update_period) FROM read_parquet({files(stores[:3])})").fetchall() == [(1,)]


@pytest.mark.filterwarnings("ignore:The behavior of (DataFrame|array) concatenation:FutureWarning")
def test_pandas_joins_the_tables_of_any_stores_without_changing_a_type(stores: list[Path]) -> None:
    frames = [pd.read_parquet(store / "runs.parquet", dtype_backend="pyarrow") for store in stores]
    whole = pd.concat(frames)
    for frame in frames:
        assert {name: whole.dtypes[name] for name in frame.columns} == dict(frame.dtypes)


def test_values_are_those_of_the_run(stores: list[Path]) -> None:
    row = read_table(stores[1], "runs").iloc[0]
    assert (row["data_train_examples"], row["data_image_size"], row["network_widths"]) == (100, 8, "[8]")
    assert (row["method_density"], row["schedule_milestones"], row["optimizer_nesterov"]) == (0.5, "[0.5,0.75]", None)
    assert read_table(stores[2], "runs")["method_density"].tolist() == [1.0]


def test_a_text_that_is_not_unicode_is_kept_readable(tmp_path: Path) -> None:
    record = Record(DENSE.run_id, "dst-sweep", "r", "done", {"seed": 1}, provenance={"argv": "x/\udcff.toml é"})
    store = Store.create(tmp_path)
    store.run_dir(DENSE.run_id).mkdir()
    (store.run_dir(DENSE.run_id) / "record.json").write_text(json.dumps(record.to_json()))
    assert read_table(store, "runs")["argv"].tolist() == ["x/\\udcff.toml é"]
