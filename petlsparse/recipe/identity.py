"""The identity of a run: a hash of everything that can change its result, and of nothing else."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from petlsparse.settings import HashNeutral

SCHEMA = 2  # a new number gives every run a new identity: only when the meaning of stored settings changes

RUN_ID_PATTERN = re.compile("[0-9a-f]{12}")
"""What names a run, and its folder, is like."""


def canonical_json(value: Any) -> str:
    """The one way to write `value`: sorted keys, no spaces, shortest floats, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def run_id(run: BaseModel) -> str:
    """12 hex of the SHA-256 of the canonical JSON of all resolved settings, defaults included."""
    return _hash(canonical_json(_identity(run)))


def run_ids(run: BaseModel, seeds: Iterable[int]) -> Iterator[str]:
    """The `run_id` that the run would have with each of these seeds; the rest is written once."""
    identity = _identity(run)
    before = canonical_json({name: value for name, value in identity.items() if name < "seed"}).removesuffix("}")
    after = canonical_json({name: value for name, value in identity.items() if name > "seed"}).removeprefix("{")
    return (_hash(f'{before},"seed":{seed},{after}') for seed in seeds)


def _identity(run: BaseModel) -> dict[str, Any]:
    return {"schema": SCHEMA, **_semantic(run, run.model_dump(mode="json"))}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _semantic(table: BaseModel, dumped: Mapping[str, Any]) -> dict[str, Any]:
    """`dumped` without the fields that were added later and have their neutral value."""
    neutral = _neutral_values(type(table))
    kept: dict[str, Any] = {}
    for name, value in dumped.items():
        if name not in neutral or neutral[name] != value:
            kept[name] = _semantic(getattr(table, name), value) if isinstance(value, dict) else value
    return kept


@cache
def _neutral_values(model: type[BaseModel]) -> Mapping[str, Any]:
    """Field -> the value with which it is left out."""
    fields = model.model_fields.items()
    return {name: mark.value for name, field in fields for mark in field.metadata if isinstance(mark, HashNeutral)}
