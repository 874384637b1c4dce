import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from petlsparse.errors import UserError
from petlsparse.tracking import store as module
from petlsparse.tracking.parts import read_metadata, read_parquet, write_parquet
from petlsparse.tracking.store import Store
from tests.tracking.made import A, B, C, record, topology


def test_a_record_is_read_as_written(store: Store) -> None:
    assert store.record(A) == record(A)
    assert store.record(B) == record(B, rows={"topology": 2})
    assert store.record(C) is None


def test_records_come_in_the_order_of_the_plan_then_by_id(store: Store) -> None:
    store.write_record(record(C))
    store.write_record(record("000000000000"))
    assert [r.run_id for r in store.records()] == [B, A, "000000000000", C]


@pytest.mark.parametrize("content", ["", '{"schema_version": 2, "run_id"', "[1, 2]"])
def test_a_damaged_record_is_set_aside_and_its_run_is_to_do(store: Store, content: str) -> None:
    path = store.run_dir(A) / "record.json"
    path.write_text(content)
    with pytest.warns(UserWarning, match="the run is to do again; set aside as record.json.corrupt"):
        assert store.record(A, store.rename_corrupt) is None
    assert (store.run_dir(A) / "record.json.corrupt").read_text() == content
    assert [r.run_id for r in store.records()] == [B]


def test_what_was_set_aside_earlier_stays(store: Store) -> None:
    for content in ("one", "two"):
        (store.run_dir(A) / "record.json").write_text(content)
        with pytest.warns(UserWarning, match="set aside"):
            store.record(A, store.rename_corrupt)
    assert (store.run_dir(A) / "record.json.corrupt").read_text() == "one"
    assert (store.run_dir(A) / "record.json.corrupt-2").read_text() == "two"


def test_a_record_without_its_rows_is_damaged(store: Store) -> None:
    store.part(B, "topology").unlink()
    with pytest.warns(UserWarning, match="topology.parquet is missing; passed over"):
        assert store.record(B) is None


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_result_that_is_set_aside_is_whole_and_its_run_is_to_do(store: Store) -> None:
    before = content(store.run_dir(B))
    assert {"record.json", "topology.parquet"} <= before.keys()
    assert store.archive_result(B) == store.run_dir(B) / "stale-1"
    assert content(store.run_dir(B) / "stale-1") == before
    assert store.run_ids() == [A]
    store.write_record(record(B, metrics={"test_accuracy": 1.0}))
    again = content(store.run_dir(B))
    assert content(store.archive_result(B)) == again
    assert content(store.run_dir(B) / "stale-1") == before
    assert store.record(B) is None


def test_a_result_half_set_aside_is_no_result_and_nothing_of_it_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(store.run_dir(B))
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name == "record.json":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        store.archive_result(B)
    assert content(store.run_dir(B)) | content(store.run_dir(B) / "stale-1") == before
    with pytest.warns(UserWarning, match="topology.parquet is missing"):
        assert store.record(B) is None


def test_a_copy_of_a_runs_folder_counts_for_nothing(store: Store) -> None:
    shutil.copytree(store.run_dir(A), store.run_dir(A + ".bak"))
    shutil.copytree(store.run_dir(A), store.run_dir(C))
    assert store.run_ids() == [B, A, C]
    with pytest.warns(UserWarning, match=f"{C}/record.json: is the record of run {A}; passed over"):
        assert [r.run_id for r in store.records()] == [B, A]


def test_a_file_among_the_runs_counts_for_nothing(store: Store) -> None:
    for name in (C, "notes.txt"):
        (store.path / "runs" / name).touch()
    assert store.run_ids() == [B, A]
    assert store.record(C) is None


def test_a_record_that_could_not_be_read_again_is_not_written(store: Store) -> None:
    with pytest.raises(ValueError, match=r"settings\.seed cannot be 9223372036854775808"):
        store.write_record(record(C, settings={"seed": 2**63}))
    assert store.run_ids() == [B, A]


def test_a_record_never_stands_without_its_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_record(record(C), {"topology": topology(10)})
    assert store.part(C, "topology").exists()
    assert store.record(C) is None


def test_rows_of_an_earlier_attempt_are_not_counted(store: Store) -> None:
    store.write_record(record(B, status="failed"))
    again = store.record(B)
    assert again is not None
    assert again.rows == {}


def test_a_record_that_cannot_be_opened_is_a_user_error(store: Store) -> None:
    (store.run_dir(C) / "record.json").mkdir(parents=True)
    with pytest.raises(UserError, match=f"{C}/record.json: cannot be read: Is a directory"):
        store.record(C)


@pytest.mark.parametrize("where", ["file/store", "/proc/store"])
def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the results folder") as caught:
        Store.create(tmp_path / where)
    assert str(tmp_path / where) in str(caught.value)


def test_a_run_that_cannot_be_locked_is_a_user_error(store: Store) -> None:
    (store.run_dir(A) / ".lock").mkdir()
    with pytest.raises(UserError, match="cannot lock the results folder"), store.run_lock(A):
        pytest.fail("the lock is a folder")


def test_a_full_disk_is_a_user_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    with pytest.raises(UserError, match="No space left on device"):
        store.write_record(record(C))


def test_only_a_results_folder_can_be_opened(store: Store, tmp_path: Path) -> None:
    assert Store.open(store.path).record(A) is not None
    with pytest.raises(UserError, match="no such folder"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a results folder"):
        Store.open(tmp_path)


def test_a_folder_whose_name_is_no_text_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not UTF-8 text"):
        Store.create(tmp_path / "a\udcff")
    assert not list(tmp_path.iterdir())


def test_a_table_is_read_wherever_it_is(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", pa.table({"a": [1, 2]}), durable=False)
    moved = (tmp_path / "x.parquet").rename(tmp_path / "a\udcff.parquet")
    table = read_parquet(moved)
    assert table is not None
    assert table["a"].to_pylist() == [1, 2]
    assert read_metadata(moved)[b"schema_version"] == b"2"
