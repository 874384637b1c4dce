from pathlib import Path
from typing import Any

import pytest

from petlsparse.tracking.equality import differences, same_results
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.store import Store
from tests.tracking.made import A, B, record, topology


def twin(path: Path, rows: list[dict[str, Any]], **changes: Any) -> Store:
    """The store of the fixture, written in another order, run A changed."""
    store = Store.create(path)
    store.write_record(record(B), {"topology": rows})
    store.write_record(record(A, **changes))
    store.write_plan(Plan("smoke", (B, A)))
    return store


def test_times_and_machine_make_no_difference(store: Store, tmp_path: Path) -> None:
    other = twin(
        tmp_path / "twin",
        topology(10, 20),
        attempts=3,
        cost={"wall_seconds": 99.0, "total_parameters": 100},
        provenance={"started": "later", "threads": 1, "host": "another"},
    )
    assert differences(store, other) == []
    assert same_results(store.path, other.path)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"metrics": {"test_accuracy": 90.0 + 1e-13, "steps": 20}},
            f"runs.test_accuracy: 1 differ, first of run {A}",
        ),
        ({"metrics": {"steps": 20}}, "runs.test_accuracy: 1 differ"),
        ({"status": "diverged"}, "runs.status"),
        ({"cost": {"total_parameters": 101}}, "runs.total_parameters"),
        ({"history": [[10, 1, "val", "loss", 0.5]]}, "metrics: 4 rows and 3 rows"),
        ({"settings": {"seed": 1}}, "runs.data_name"),
        ({"settings": {"more": 1}}, "runs: other columns: ['more']"),
    ],
)
def test_a_different_result_is_named(store: Store, tmp_path: Path, changes: dict[str, Any], difference: str) -> None:
    other = twin(tmp_path / "twin", topology(10, 20), **changes)
    assert any(line.startswith(difference) for line in differences(store, other)), differences(store, other)
    assert not same_results(store, other)


def test_the_order_of_the_runs_makes_no_difference(store: Store, tmp_path: Path) -> None:
    other = twin(tmp_path / "twin", topology(10, 20))
    (other.path / "plan.json").unlink()
    assert other.run_ids() == store.run_ids()[::-1]
    assert differences(store, other) == []


def test_different_rows_are_named(store: Store, tmp_path: Path) -> None:
    other = twin(tmp_path / "twin", topology(10, 30))
    assert differences(store, other) == [f"topology.step: 1 differ, first of run {B}: 20 and 30"]
