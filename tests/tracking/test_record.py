import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.errors import UserError
from petlsparse.tracking import record as module
from petlsparse.tracking.record import CorruptRecord, Record
from tests.tracking.made import record


@given(value=st.floats(), text=st.text(), attempts=st.integers(1, 99))
def test_a_record_survives_json_and_what_is_not_finite_becomes_null(value: float, text: str, attempts: int) -> None:
    before = record(attempts=attempts, error=text, metrics={"test_loss": value}, history=[[1, 1, "val", "loss", value]])
    written = json.dumps(before.to_json(), allow_nan=False)
    after = Record.from_json(written)
    expected = value if math.isfinite(value) else None
    assert (after.attempts, after.error, after.settings) == (attempts, text, before.settings)
    assert after.metrics == {"test_loss": expected}
    assert after.history == [[1, 1, "val", "loss", expected]]


def test_only_done_and_diverged_are_results() -> None:
    finals = {status: record(status=status).final for status in module.STATUSES}
    assert finals == {"done": True, "failed": False, "diverged": True, "interrupted": False}


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="status 'finished'"):
        record(status="finished")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema_version": 2}', '{"run_id": "a"}', '{"schema_version": "one"}', b"\xff\xfe"],
)
def test_what_is_not_a_record_is_corrupt(text: str | bytes) -> None:
    with pytest.raises(CorruptRecord):
        Record.from_json(text)


def test_every_truncation_of_a_record_is_corrupt() -> None:
    text = json.dumps(record().to_json())
    for length in range(len(text)):
        with pytest.raises(CorruptRecord):
            Record.from_json(text[:length])


def test_a_record_of_a_newer_schema_is_refused_by_name() -> None:
    text = json.dumps(record().to_json() | {"schema_version": 3, "something": "new"})
    with pytest.raises(UserError, match=r"runs/x/record.json: written by a newer petlsparse \(schema 3"):
        Record.from_json(text, where="runs/x/record.json")


def test_a_record_from_before_settings_were_renamed_is_refused_in_a_sentence() -> None:
    text = json.dumps(record().to_json() | {"schema_version": 1})
    with pytest.raises(UserError, match=r"runs/x/record.json: written by petlsparse 0.2 or older \(schema 1\)"):
        Record.from_json(text, where="runs/x/record.json")


def test_an_old_record_passes_through_every_upgrade_between(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_to_three(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "recipe": document["recipe"] + "-3"}

    def three_to_four(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "recipe": document["recipe"] + "-4"}

    text = json.dumps(record().to_json())
    monkeypatch.setattr(module, "SCHEMA_VERSION", 4)
    monkeypatch.setattr(module, "UPGRADES", {2: two_to_three, 3: three_to_four})
    assert Record.from_json(text).recipe == "smoke-3-4"
