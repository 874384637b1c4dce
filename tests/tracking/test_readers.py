"""Readers never change a store: only the holder of its lock sets a record aside, and a disk that fails is no damage."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petlsparse.errors import UserError
from petlsparse.tracking.compaction import compact, read_table, run_statuses
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import TABLES
from tests.tracking.made import A, B, C, record, topology


def content(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file below a folder, and which file it is: one that is written anew is another."""
    return {path: (path.stat().st_ino, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The next reading of a file of that name fails as that of a broken disk does."""
    read_bytes = Path.read_bytes
    failures = [OSError(errno.EIO, "Input/output error")]

    def read(path: Path) -> bytes:
        if path.name == name and failures:
            raise failures.pop()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)


@pytest.mark.parametrize(
    "use",
    [lambda store: read_table(store, "topology"), compact, run_statuses],
    ids=["reader", "compact", "run_statuses"],
)
def test_a_record_that_cannot_be_read_once_is_not_damaged(
    store: Store, use: Callable[[Store], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(store.path)
    fail_once(monkeypatch, "record.json")
    with pytest.raises(UserError, match=r"record\.json: cannot be read: Input/output error"):
        use(store)
    assert content(store.path) == before
    assert set(run_statuses(store)) == {A, B}


@pytest.mark.parametrize("use", [lambda store: read_table(store, "topology"), compact], ids=["reader", "compact"])
def test_rows_that_cannot_be_read_once_are_not_damaged(
    store: Store, use: Callable[[Store], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(store.path)
    fail_once(monkeypatch, "topology.parquet")
    with pytest.raises(UserError, match=r"topology\.parquet: cannot be read: Input/output error"):
        use(store)
    assert content(store.path) == before
    assert len(read_table(store, "topology")) == 2


def test_a_run_that_finishes_while_it_is_read_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are newer than the record that was read before them."""
    rows = Store.rows
    finishing = [record(B, attempts=2)]

    def read(self: Store, read_before: Any, table: str) -> Any:
        if finishing:
            self.write_record(finishing.pop(), {"topology": topology(10, 20, 30)})
        return rows(self, read_before, table)

    monkeypatch.setattr(Store, "rows", read)
    assert list(read_table(store, "topology")["step"]) == [10, 20, 30]


def test_a_run_that_is_being_written_is_passed_over_by_readers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are there, its record not yet."""
    store.write_record(record(B), {"topology": topology(10, 20, 30)})
    before = (store.run_dir(B) / "record.json").read_bytes()
    store.write_record(record(B), {"topology": topology(10, 20)})
    (store.run_dir(B) / "record.json").write_bytes(before)
    with pytest.warns(UserWarning, match="its rows are damaged; passed over"):
        assert len(read_table(store, "topology")) == 0
    assert (store.run_dir(B) / "record.json").read_bytes() == before


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.filterwarnings("ignore:.*passed over")
def test_reading_changes_nothing_however_damaged(store: Store, compacted: bool) -> None:
    if compacted:
        compact(store)
        store.table("metrics").write_bytes(b"cut short")
    store.write_record(record(C))
    (store.run_dir(A) / "record.json").write_text("{")
    store.part(B, "topology").write_bytes(b"cut short")
    (store.path / "plan.json").write_text("[1")
    before = content(store.path)
    for name in TABLES:
        read_table(store, name)
    assert [each.run_id for each in store.records()] == [B, C]
    assert store.record(A) is None
    assert content(store.path) == before


def test_a_damaged_record_is_told_of_by_name(store: Store) -> None:
    (store.run_dir(A) / "record.json").write_text("{")
    with pytest.warns(UserWarning, match=f"{A}/record.json: not a run's record: .*; passed over"):
        read_table(store, "runs")


def test_a_record_changed_in_place_is_noticed(store: Store) -> None:
    compact(store)
    path = store.run_dir(A) / "record.json"
    path.write_text(path.read_text().replace('"done"', '"failed"'))
    assert run_statuses(store)[A].status == "failed"
    assert list(read_table(store, "runs")["status"]) == ["done", "failed"]


def test_how_runs_stand_is_read_from_a_table_that_is_up_to_date(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = "2026-01-01T12:00:00.000+00:00"
    store.write_record(record(C, status="failed", attempts=3, provenance={"finished": ended}))
    expected = {B: ("done", 1, None), A: ("done", 1, None), C: ("failed", 3, ended)}
    assert run_statuses(store) == expected
    compact(store)
    monkeypatch.setattr(Store, "record", lambda *_: pytest.fail("a record was read"))
    assert run_statuses(store) == expected
