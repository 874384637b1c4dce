"""The type of every column, whatever the records hold: two stores always agree on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from petlsparse.recipe.identity import canonical_json
from petlsparse.recipe.schema import RUN_TYPES, setting_types
from petlsparse.tracking.tables import RUNS, Dtype

_DTYPES: Mapping[type, Dtype] = {bool: "bool", int: "int64", float: "float64", str: "string", list: "string"}

SETTINGS: Mapping[str, Mapping[str, type]] = MappingProxyType({study: setting_types(study) for study in RUN_TYPES})
"""Study -> column -> the type of that setting; a list is a string of JSON in the tables."""

_TYPES = {name: kind for columns in SETTINGS.values() for name, kind in columns.items()}

DOCUMENTED: Mapping[str, Dtype] = MappingProxyType(
    {name: _DTYPES[kind] for name, kind in _TYPES.items()} | {column.name: column.dtype for column in RUNS.columns}
)
"""Column of the `runs` table -> type, of those that are known before there is a record."""


def fits(name: str, value: Any, unknown: Dtype) -> bool:
    """Whether a value from a record can stand in a column; `unknown` is the type of one that is not documented."""
    dtype = DOCUMENTED.get(name, unknown)
    if value is None or (dtype == "string" and name not in DOCUMENTED):
        return True
    if dtype == "string":
        return isinstance(value, list if _TYPES.get(name) is list else str | list | dict)
    if dtype == "bool" or isinstance(value, bool):
        return dtype == "bool" and isinstance(value, bool)
    if dtype == "int64":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and -(2**63) <= value < 2**63
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST)


_LARGEST = 10**308  # float() of a larger integer is an error


def recorded_dtype(values: Iterable[Any]) -> Dtype | None:
    """The type of an undocumented setting's column, by what runs recorded; None if that is nothing.

    A setting of a function in a file of the user's has its annotation's type in records: 1 is there 1.0 if it is a
    float. The file itself may be gone when tables are made.
    """
    found = [value for value in values if value is not None]
    kinds = {type(value) for value in found}
    if kinds == {bool}:
        return "bool"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in found):
        return "int64"
    if kinds and kinds <= {int, float} and all(abs(value) < _LARGEST for value in found):
        return "float64"
    return "string" if found else None


def in_column(values: Iterable[Any], dtype: Dtype) -> list[Any]:
    """Values of a record as Arrow takes them for a column of that type."""
    kind, convert = _KINDS[dtype]
    return [value if value is None or type(value) is kind else convert(value) for value in values]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


_KINDS: Mapping[Dtype, tuple[type, Callable[[Any], Any]]] = MappingProxyType(
    {"string": (str, _text), "int64": (int, int), "float64": (float, float), "bool": (bool, bool)}
)
"""How a type of columns is called in Python, and what makes it of a value that fits there."""


def storable(texts: Iterable[str | None]) -> list[str | None]:
    """Texts without halves of surrogate pairs, such as a path has that is not UTF-8: Arrow refuses them."""
    return [text if text is None else text.encode(errors="backslashreplace").decode() for text in texts]
