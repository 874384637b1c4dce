"""What the JSON document of a record must be like: whole, and such that every value has its place in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from petlsparse.recipe.identity import RUN_ID_PATTERN
from petlsparse.recipe.schema import setting_columns
from petlsparse.tracking.columns import fits
from petlsparse.tracking.tables import Dtype

_UNDOCUMENTED: dict[str, Dtype] = {
    "settings": "string",
    "provenance": "string",
    "metrics": "float64",
    "cost": "float64",
}
"""Section -> the type of its columns that are not documented."""

_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Numbers = dict[str, int | float | None]
_Row = Annotated[tuple[_Int64, _Int64, str, str, float | None], Field(strict=False)]  # JSON has lists only


class _Document(BaseModel):
    """A record of the current schema; what has a default may be missing in older ones."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    schema_version: int
    run_id: Annotated[str, Field(pattern=f"^{RUN_ID_PATTERN.pattern}$")]
    study: str
    recipe: str
    status: Literal["done", "failed", "diverged", "interrupted"]
    settings: dict[str, Any]
    attempts: Annotated[int, Field(ge=0, lt=2**63)] = 1
    error: str | None = None
    metrics: _Numbers = {}
    history: list[_Row] = []
    cost: _Numbers = {}
    provenance: dict[str, Any] = {}
    rows: dict[Literal["edges", "topology"], Annotated[int, Field(ge=0)]] = {}


def check_document(document: dict[str, Any]) -> None:
    """Raise ValueError that says what is wrong with the first thing that is."""
    try:
        _Document.model_validate(document)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, error['loc']))}: {error['msg']}") from invalid
    for where, value in _misfits(document):
        raise ValueError(f"{where} cannot be {str(value)[:40]}")


def _misfits(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Values that do not fit the column that bears their name."""
    for section, unknown in _UNDOCUMENTED.items():
        values = document.get(section, {})
        for name, value in (setting_columns(values) if section == "settings" else values).items():
            if not fits(name, value, unknown):
                yield f"{section}.{name}", value
