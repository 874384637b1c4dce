import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from petlsparse.errors import UserError
from petlsparse.recipe.schema import SparseRun, setting_types
from petlsparse.tracking import compaction
from petlsparse.tracking.compaction import compact, read_table
from petlsparse.tracking.parts import write_part
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.snapshot import Snapshot
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import TABLES
from tests.tracking.made import A, B, C, record, topology


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def stamp(path: Path, key: bytes, value: bytes) -> None:
    """Rewrite a parquet file with other metadata."""
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, key: value}), path)


def test_runs_have_a_row_each_with_settings_as_columns(store: Store) -> None:
    store.write_record(record(C, status="failed", error="Traceback ...", metrics={}, history=[], cost={}))
    runs = read_table(store, "runs")
    assert list(runs["run_id"]) == [B, A, C]
    assert list(runs["status"]) == ["done", "done", "failed"]
    assert list(runs["data_name"]) == ["digits"] * 3
    assert list(runs["method_density"]) == [0.1] * 3
    assert list(runs["test_accuracy"].isna()) == [False, False, True]
    assert list(runs["schema_version"]) == [2] * 3
    between = list(runs.columns)[6 : list(runs.columns).index("test_accuracy")]  # identity and metrics
    assert between == list(setting_types("dst-sweep"))
    assert {column.name for column in TABLES["runs"].columns} <= set(runs.columns)


def test_metrics_and_topology_have_the_recorded_rows_in_plan_order(store: Store) -> None:
    metrics = read_table(store, "metrics")
    expected = [(run, *row) for run in (B, A) for row in ((10, 1, "val", "loss", 0.5), (20, 2, "val", "loss", 0.25))]
    assert list(metrics.drop(columns="schema_version").itertuples(index=False, name=None)) == expected
    rows = read_table(store, "topology")
    assert list(rows["run_id"]) == [B, B]
    assert list(rows["step"]) == [10, 20]
    assert rows["grown"].isna().all()  # documented, not recorded


def test_types_do_not_depend_on_the_records(store: Store, tmp_path: Path) -> None:
    empty = Store.create(tmp_path / "empty")
    compact(empty)
    compact(store)
    for table in TABLES.values():
        full, none = (pq.read_schema(each.table(table.name)) for each in (store, empty))
        for column in table.columns:
            assert str(full.field(column.name).type).replace("double", "float64") == column.dtype
            assert none.field(column.name).type == full.field(column.name).type


def test_a_large_whole_number_fits_a_column_of_floats(store: Store) -> None:
    flops = 10_500_000_000_000_001  # above 2^53: no float is equal to it
    store.write_record(record(A, cost={"training_flops": flops}))
    assert list(read_table(store, "runs").set_index("run_id").loc[[A], "training_flops"]) == [1.05e16]


def test_settings_are_named_as_the_run_names_them(store: Store) -> None:
    run = SparseRun.model_validate(
        {
            "data": {"name": "digits"},
            "network": {"name": "mlp", "widths": [20, 10]},
            "method": {"kind": "static", "density": 0.1},
            "optimizer": {"name": "sgd", "lr": 0.1},
            "training": {"duration": "2 epochs"},
            "seed": 3,
        }
    )
    store.write_record(record(C, settings=json.loads(json.dumps(run.settings()))))
    row = read_table(store, "runs").set_index("run_id").loc[C]
    for name, value in run.flat().items():
        assert pd.isna(row[name]) if value is None else row[name] == value


@pytest.mark.parametrize("at_a_time", [1, 1000])
@pytest.mark.parametrize(
    ("values", "column", "dtype"),
    [
        ((1, 2, None), [1, 2, None], "int64"),
        ((1, 0.5, None), [1.0, 0.5, None], "float64"),
        ((None, 1.0, 2.0), [None, 1.0, 2.0], "float64"),
        ((True, None, False), [True, None, False], "bool"),
        ((1, None, "auto"), ["1", None, "auto"], "string"),
        ((True, 1, 2), ["true", "1", "2"], "string"),
        (([1, 2], [3], None), ["[1,2]", "[3]", None], "string"),
        ((2**70, 1, None), [2.0**70, 1.0, None], "float64"),
    ],
    ids=str,
)
def test_a_setting_that_no_study_has_is_of_the_type_that_runs_recorded(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    at_a_time: int,
    values: tuple[Any, ...],
    column: list[Any],
    dtype: str,
) -> None:
    monkeypatch.setattr(compaction, "RECORDS_AT_A_TIME", at_a_time)
    for run_id, value in zip((A, B, C), values, strict=True):
        store.write_record(record(run_id, settings={"own": value}))
    compact(store)
    found = pq.read_table(store.table("runs"), columns=["run_id", "own"])
    assert str(found.schema.field("own").type) == {"float64": "double"}.get(dtype, dtype)
    assert dict(zip(found["run_id"].to_pylist(), found["own"].to_pylist(), strict=True)) == dict(
        zip((A, B, C), column, strict=True)
    )


def test_numbers_nobody_documented_become_further_columns(store: Store) -> None:
    store.write_record(record(A, metrics={"test_f1": 0.5}))
    store.write_record(record(C), {"topology": [{**topology(10)[0], "jaccard": 0.75}]})
    assert list(read_table(store, "runs")["test_f1"].dropna()) == [0.5]
    assert list(read_table(store, "topology")["jaccard"].dropna()) == [0.75]


def test_a_metric_that_records_of_before_lack_is_null_for_them(store: Store) -> None:
    store.write_record(record(A))
    store.write_record(record(B, metrics={"test_accuracy": 90.0, "test_macro_f1": 80.0}))
    runs = read_table(store, "runs").set_index("run_id")
    assert runs["test_macro_f1"].isna().to_dict() == {A: True, B: False}
    assert runs["val_macro_f1_best"].isna().all()


def test_a_value_that_was_not_finite_is_null(store: Store) -> None:
    store.write_record(record(A, status="diverged", history=[[10, 1, "train", "loss", float("inf")]]))
    metrics = read_table(store, "metrics")
    assert list(metrics.loc[metrics["run_id"] == A, "value"].isna()) == [True]


@pytest.mark.parametrize("damage", [Path.unlink, truncate, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", list(TABLES))
def test_a_missing_or_damaged_table_is_made_again(store: Store, name: str, damage: Any) -> None:
    compact(store)
    before = read_table(store, name)
    damage(store.table(name))
    pd.testing.assert_frame_equal(read_table(store, name), before)
    compact(store)
    assert pq.read_table(store.table(name)).num_rows == len(before)  # on disk again


def test_a_table_older_than_the_records_is_made_again(store: Store) -> None:
    compact(store)
    store.write_record(record(C))
    assert len(read_table(store, "runs")) == 3
    compact(store)
    shutil.rmtree(store.run_dir(C))
    assert len(read_table(store, "runs")) == 2
    compact(store)
    store.write_plan(Plan("smoke", (C, A, B)))
    assert list(read_table(store, "runs")["run_id"]) == [B, A]  # the order of the first command


def test_the_fingerprint_changes_with_records_order_and_columns_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Snapshot.of(store).records_digest
    (store.run_dir(A) / "log.txt").write_text("nothing of interest")
    assert Snapshot.of(store).records_digest == before
    (store.path / "plan.json").unlink()
    reordered = Snapshot.of(store).records_digest
    assert reordered != before
    store.write_record(record(A, attempts=2))
    changed = Snapshot.of(store).records_digest
    assert changed not in (before, reordered)
    monkeypatch.setattr("petlsparse.tracking.snapshot.SETTINGS", {})
    assert Snapshot.of(store).records_digest != changed


def test_tables_that_are_up_to_date_are_left_alone(store: Store) -> None:
    compact(store)
    before = [store.table(name).stat().st_mtime_ns for name in TABLES]
    compact(store)
    assert [store.table(name).stat().st_mtime_ns for name in TABLES] == before


def test_tables_that_are_written_piece_by_piece_are_those_made_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = {"study": "adapter-search", "settings": {"study": "adapter-search", "backbone": {"name": "vit-micro"}}}
    store.write_record(record(A, metrics={"test_f1": 0.5}))
    store.write_record(record(C, **adapted), {"topology": [{**topology(10)[0], "jaccard": 0.75}]})
    made = {name: read_table(store, name) for name in TABLES}
    monkeypatch.setattr("petlsparse.tracking.compaction.RECORDS_AT_A_TIME", 1)
    compact(store)
    for name, table in made.items():
        pd.testing.assert_frame_equal(read_table(store, name), table)
        assert pq.read_metadata(store.table(name)).num_row_groups == 3 or not len(table)  # none was ever whole
    assert not list(store.path.glob(".*.tmp"))


def test_tables_can_be_passed_on_without_their_records(store: Store) -> None:
    compact(store)
    shutil.rmtree(store.path / "runs")
    assert len(read_table(store.path, "runs")) == 2


def test_without_table_and_records_the_user_hears_of_it(store: Store) -> None:
    compact(store)
    shutil.rmtree(store.path / "runs")
    truncate(store.table("runs"))
    with pytest.raises(UserError, match=r"runs.parquet: damaged, and there are no records"):
        read_table(store, "runs")
    store.table("edges").unlink()
    with pytest.raises(UserError, match=r"edges.parquet: missing, and there are no records"):
        read_table(store, "edges")
    with pytest.raises(UserError, match='unknown table "metric"'):
        read_table(store, "metric")


def test_a_table_of_a_newer_schema_is_refused(store: Store) -> None:
    compact(store)
    stamp(store.table("runs"), b"schema_version", b"3")
    with pytest.raises(UserError, match=r"runs.parquet: written by a newer petlsparse"):
        read_table(store, "runs")


def other_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path)[:1], path)


def other_types(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "step", table["step"].cast("string")), path)


def of_another_run(path: Path) -> None:
    write_part(path, TABLES["topology"], A, topology(10, 20))


def flipped(path: Path) -> None:
    """A damaged page: pyarrow says OSError, as it does where the disk fails."""
    content = bytearray(path.read_bytes())
    content[30:60] = bytes(30)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, other_rows, other_types, of_another_run, flipped])
def test_a_run_whose_rows_are_damaged_is_to_do_again(store: Store, damage: Any) -> None:
    damage(store.part(B, "topology"))
    with pytest.warns(UserWarning, match="its rows are damaged; passed over"):
        assert len(read_table(store, "topology")) == 0
    with pytest.warns(UserWarning, match="its rows are damaged; the run is to do again; set aside"):
        compact(store)
    assert list(read_table(store, "runs")["run_id"]) == [A]
    assert store.record(B) is None
    assert (store.run_dir(B) / "record.json.corrupt").exists()


def test_other_tools_read_the_tables(store: Store) -> None:
    compact(store)
    query = f"SELECT run_id, test_accuracy FROM '{store.table('runs')}' ORDER BY run_id"
    assert duckdb.sql(query).fetchall() == [(A, 90.0), (B, 90.0)]
    metadata = pq.read_metadata(store.table("runs"))
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert metadata.metadata[b"schema_version"] == b"2"


def test_tables_that_came_without_records_are_kept_beside_new_ones(store: Store) -> None:
    compact(store)
    earlier = store.table("runs").read_bytes()
    shutil.rmtree(store.path / "runs")
    compact(store)
    store.write_record(record(C))
    compact(store)
    assert list(read_table(store, "runs")["run_id"]) == [C]
    assert (store.path / "runs.parquet.without-records").read_bytes() == earlier
