"""Rows as they are read from stores."""

from __future__ import annotations

from pathlib import Path

from petlsparse.analysis.compare import compare
from petlsparse.analysis.load import load_runs
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store


def test_runs_from_before_a_setting_existed_are_of_one_arm_with_later_ones(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    before = {"study": "adapter-search", "backbone": {"name": "vit-micro"}, "method": {"kind": "linear-probe"}}
    after = before | {"backbone": {"name": "vit-micro", "frozen_precision": "float32"}}
    for seed, settings in enumerate((before, after), 1):
        metrics = {"test_accuracy": 50.0 + seed, "test_loss": 1.0, "val_accuracy_best": 50.0}
        settings = settings | {"seed": seed}
        store.write_record(Record(f"{seed:012}", "adapter-search", "r", "done", settings, metrics=metrics))
    records = load_runs([tmp_path])
    assert [record["backbone_frozen_precision"] for record in records] == ["float32", "float32"]
    (comparison,) = compare(records)
    assert [len(row.run_ids) for row in comparison.rows] == [2]


def test_one_run_on_other_content_in_another_store_is_a_run_of_its_own(tmp_path: Path) -> None:
    metrics = {"test_accuracy": 50.0, "test_loss": 1.0, "val_accuracy_best": 50.0}
    settings = {"study": "dst-sweep", "method": {"kind": "dense"}, "seed": 1}
    for name, data in (("one", "a" * 12), ("same", "a" * 12), ("other", "b" * 12)):
        made = {"data_fingerprint": data}
        record = Record("1" * 12, "dst-sweep", "r", "done", settings, metrics=metrics, provenance=made)
        Store.create(tmp_path / name).write_record(record)
    records = load_runs([tmp_path / "one", tmp_path / "same", tmp_path / "other"])
    assert [record["data_fingerprint"] for record in records] == ["a" * 12, "b" * 12]
