from pathlib import Path

import pytest

from petlsparse.tracking.plan import Plan
from petlsparse.tracking.store import Store
from tests.tracking.made import A, B, record, topology


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two finished runs, planned in the reversed order of their ids, the first of the plan with topology rows."""
    store = Store.create(tmp_path / "store")
    store.write_plan(Plan("smoke", (B, A)))
    store.write_record(record(A))
    store.write_record(record(B), {"topology": topology(10, 20)})
    return store
