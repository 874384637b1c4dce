"""The identity of a run: a hash of everything that can change its result, and of nothing else."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from petlsparse.recipe.fields import HashNeutral

SCHEMA = 1  # a new number gives every run a new identity: only when the meaning of stored settings changes


RUN_ID = re.compile("[0-9a-f]{12}")
"""What names a run, and its folder, is like."""


def canonical_json(value: Any) -> str:
    """The one way to write `value`: sorted keys, no spaces, shortest floats, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def run_id(run: BaseModel) -> str:
    """12 hex of the SHA-256 of the canonical JSON of all resolved settings, defaults included."""
    settings = {"schema": SCHEMA, **_semantic(run, run.model_dump(mode="json"))}
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:12]


def _semantic(table: BaseModel, dumped: Mapping[str, Any]) -> dict[str, Any]:
    """`dumped` without the fields that were added later and have their neutral value."""
    kept: dict[str, Any] = {}
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if not _is_neutral(field, dumped[name]):
            kept[name] = _semantic(value, dumped[name]) if isinstance(value, BaseModel) else dumped[name]
    return kept


def _is_neutral(field: FieldInfo, value: Any) -> bool:
    return any(isinstance(mark, HashNeutral) and mark.value == value for mark in field.metadata)
