"""Nested tables seen as flat ones with joined keys, and back."""

from collections.abc import Mapping
from typing import Any


def flatten(table: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """{"a": {"b": 1}} becomes {"a.b": 1}; an empty table disappears."""
    flat: dict[str, Any] = {}
    _flatten_into(flat, table, "", separator)
    return flat


def _flatten_into(flat: dict[str, Any], table: Mapping[str, Any], above: str, separator: str) -> None:
    for key, value in table.items():
        if isinstance(value, dict):
            _flatten_into(flat, value, f"{above}{key}{separator}", separator)
        else:
            flat[above + key] = value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} becomes {"a": {"b": 1}}; a later key takes the place of a value in its way."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, last = key.split(".")
        table = nested
        for name in tables:
            if not isinstance(table.get(name), dict):
                table[name] = {}
            table = table[name]
        table[last] = value
    return nested


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`: tables are merged, everything else, lists too, is replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merge(below, value)
        merged[key] = value
    return merged
