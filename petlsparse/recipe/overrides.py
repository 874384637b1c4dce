"""What the command line changes in a recipe: `--set key=value`, `--axis key=v1,v2`, `--seeds 5`."""

import copy
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from petlsparse.errors import Problem
from petlsparse.recipe.documents import all_tables, at, keep_fields, overlay
from petlsparse.recipe.origins import KeyPath
from petlsparse.recipe.schema import TAGS, canonical_key, fields_of, nested, nested_key, tag_key

_TOP_LEVEL = ("seeds", "search", "output", "launch")
_Parser: TypeAlias = Callable[[str], Any]


class Override:
    """A recipe's table as the flags change it, with the key paths they wrote and the flags that were malformed."""

    def __init__(self, table: Mapping[str, Any]):
        self.table: dict[str, Any] = copy.deepcopy(dict(table))
        self.flags: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []

    def apply(self, sets: Sequence[str], axes: Sequence[str], seeds: str | None) -> None:
        """Apply all flags; of two for one key the later wins."""
        assigned = {key: (value, flag) for key, value, flag in self._parsed("--set", sets, parse_value)}
        varied = {key: (values, flag) for key, values, flag in self._parsed("--axis", axes, parse_values)}
        for key in (key for key in varied if key in assigned):
            self.problems.append(Problem(f'"{key}" is given by --set too', varied[key][1]))
        # Kinds first, outer tables before inner ones: they decide what can be set.
        for key in sorted(assigned, key=lambda key: (not _table(key), key.count("."))):
            self._set(key, *assigned[key])
        for key, (values, flag) in varied.items():
            self._vary(key, values, flag)
        for values, flag in self._read("--seeds", [] if seeds is None else [seeds], parse_values):
            self._set("seeds", values[0] if len(values) == 1 else values, flag)

    def _parsed(self, flag: str, texts: Sequence[str], parse: _Parser) -> Iterator[tuple[str, Any, str]]:
        """Key, value and whole flag of each `key=value`."""
        for text in texts:
            key, equals, value = (part.strip() for part in text.partition("="))
            if not equals or not value or not all(key.split(".")):
                form = "key=value" if flag == "--set" else "key=value1,value2"
                self.problems.append(Problem(f"should read {form}", flag, text))
                continue
            for parsed, _ in self._read(f"{flag} {key}", [value], parse):
                yield canonical_key(key, parsed), parsed, f"{flag} {text}"

    def _read(self, flag: str, texts: Sequence[str], parse: _Parser) -> Iterator[tuple[Any, str]]:
        """Parsed value and whole flag of each text that can be parsed."""
        for text in texts:
            try:
                yield parse(text), f"{flag} {text}"
            except tomllib.TOMLDecodeError as error:
                self.problems.append(Problem(f"is not valid TOML: {error}", flag, text))

    def _set(self, key: str, value: Any, flag: str) -> None:
        top, _, _ = key.partition(".")
        if top in _TOP_LEVEL:
            self.table = overlay(self.table, nested({key: value}))
            self.flags[tuple(key.split("."))] = flag
            return
        table, path = _table(key), key if isinstance(value, dict) else nested_key(key)
        for holder in all_tables(self.table.get("arms")):
            _remove(holder, path)
            _remove_axis(holder, key)
            if table and isinstance(kind := at(holder, table.split(".")), dict):
                fields = fields_of(self.table.get("study"), table, value)
                keep_fields(kind, set(fields) if fields else None)
        _remove_axis(self.table, key)
        for run in all_tables(self.table.get("run")):
            _remove(run, path)
        self.table = overlay(self.table, {"run": nested({key: value})})
        self.flags["run", *key.split(".")] = flag

    def _vary(self, key: str, values: list[Any], flag: str) -> None:
        grid = self.table.setdefault("grid", {})
        if not isinstance(grid, dict):  # reported with the other problems of the file
            return
        order = dict.fromkeys([*grid, key])
        for holder in [self.table, *all_tables(self.table.get("arms"))]:
            _remove_axis(holder, key)
        grid[key] = values
        self.table["grid"] = {axis: grid[axis] for axis in order if axis in grid}
        self.flags["grid", key] = flag


def parse_value(text: str) -> Any:
    """A value in TOML syntax; what is no TOML and does not look like it is a string: `cosine`, `20 epochs`.

    Raises:
        ValueError: if `text` begins like a TOML string, list or table but is none.
    """
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        if text.startswith(("[", "{", '"', "'")):
            raise
        return text
    return read["value"] if len(read) == 1 else text


def parse_values(text: str) -> list[Any]:
    """Values separated by commas; commas inside brackets, braces and quotes separate nothing."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [parse_value(part.strip()) for part in parts]


def _table(key: str) -> str:
    """The table whose kind a dotted key says; empty for any other key."""
    return next((table for table in TAGS if tag_key(table) == key), "")


def _remove(table: dict[str, Any], key: str) -> None:
    """Remove a dotted key, and all that lies below it, from a nested table."""
    *path, last = key.split(".")
    for name in path:
        inner = table.get(name)
        if not isinstance(inner, dict):
            return
        table = inner
    table.pop(last, None)


def _remove_axis(holder: dict[str, Any], key: str) -> None:
    """Remove the axes of a dotted key, and of the keys below it, from the grid and the zips of `holder`."""
    for axes in [*all_tables(holder.get("grid")), *all_tables(holder.get("zip"))]:
        for axis in [axis for axis in axes if axis == key or axis.startswith(f"{key}.")]:
            del axes[axis]
