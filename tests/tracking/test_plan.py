"""What the commands of a store set out to do, one after another."""

import json
from pathlib import Path
from typing import Any

import pytest

from petlsparse.errors import UserError
from petlsparse.tracking.plan import Plan, Plans
from petlsparse.tracking.store import Store
from tests.tracking.made import A, B, C


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "empty")


def test_the_runs_of_all_commands_are_in_order_of_first_appearance(empty: Store) -> None:
    assert empty.read_plans() == Plans()
    plans = [
        Plan("one", (B, A), "# one", {"seeds": [1]}),
        Plan("two", (C, A), "# two", {}),
        Plan("one", (A,), "", None),
    ]
    for plan in plans:
        empty.write_plan(plan)
    assert empty.read_plans() == Plans(tuple(plans), (B, A, C))


def test_the_same_command_again_is_the_latest_and_is_kept_once(empty: Store) -> None:
    one, two = Plan("one", (A,), "# text", {"grid": {"a.b": [1.5, "x"]}}), Plan("two", (B,))
    for plan in (one, two, one, one):
        empty.write_plan(plan)
    assert empty.read_plans() == Plans((two, one), (A, B))


def test_the_same_command_again_writes_nothing(empty: Store) -> None:
    for plan in (Plan("one", (A,)), Plan("two", (B,))):
        empty.write_plan(plan)
        before = (empty.path / "plan.json").stat().st_ino  # a written file is another one
        empty.write_plan(plan)
        assert (empty.path / "plan.json").stat().st_ino == before


def test_a_plan_from_before_there_were_several_is_read_and_kept(empty: Store) -> None:
    old = {"schema_version": 2, "recipe": "old", "text": "# old", "resolved": {"seeds": 2}, "run_ids": [C, B]}
    (empty.path / "plan.json").write_text(json.dumps(old))
    first = Plan("old", (C, B), "# old", {"seeds": 2})
    assert empty.read_plans() == Plans((first,), (C, B))
    empty.write_plan(Plan("new", (A, B)))
    assert empty.read_plans() == Plans((first, Plan("new", (A, B))), (C, B, A))


def test_a_plan_of_a_newer_schema_is_refused(store: Store) -> None:
    path = store.path / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 3}))
    for use in (store.read_plans, lambda: store.write_plan(Plan("smoke"))):
        with pytest.raises(UserError, match="newer petlsparse"):
            use()


WHOLE: dict[str, Any] = {"schema_version": 2, "recipe": "x", "text": "", "resolved": {}, "run_ids": [A]}
ODD = [
    *(WHOLE | {name: odd} for name in WHOLE for odd in ([[1]], 1.5, None) if (name, odd) != ("resolved", None)),
    WHOLE | {"run_ids": "aaaaaaaaaaaa"},
    *({"schema_version": 2, "run_ids": [A], "commands": odd} for odd in (None, [None], [1], "x", {"a": 1})),
    *([1, 2], None, 1, "x", {}),
]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, *(json.dumps(odd).encode() for odd in ODD)])
def test_an_odd_plan_counts_as_none_and_is_set_aside_by_who_writes_one(store: Store, content: bytes) -> None:
    (store.path / "plan.json").write_bytes(content)
    assert store.read_plans() == Plans()
    assert store.run_ids() == [A, B]
    assert (store.path / "plan.json").read_bytes() == content
    with pytest.warns(UserWarning, match="plan.json: .*; set aside as plan.json.corrupt"):
        store.write_plan(Plan("smoke", (B, A)))
    assert (store.path / "plan.json.corrupt").read_bytes() == content
    assert store.run_ids() == [B, A]
