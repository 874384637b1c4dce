"""Where a setting was written: file, line and key path, or the flag of the command line."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""("arms", 0, "method", "density"); an axis, such as ("grid", "method.density"), keeps its dotted key."""

AXES = ("grid", "zip", "exclude")


@dataclass(frozen=True)
class Origins:
    """Finds the place of a key path of a resolved recipe in the `files` it was read from, oldest ancestor first.

    `flags` holds the key paths that the command line wrote; a flag wins over every file.
    """

    files: Sequence[tuple[Path, Mapping[KeyPath, int]]]
    flags: Mapping[KeyPath, str]

    def where(self, path: KeyPath) -> str:
        """'recipe.toml:12: run.method.density', or '--set method.density=2'."""
        for prefix in _prefixes(path):
            if prefix in self.flags:
                return self.flags[prefix]
            for file, lines in reversed(self.files):
                if prefix in lines:
                    return f"{file}:{lines[prefix]}: {show(path)}"
        return f"{self.files[-1][0]}: {show(path)}" if path else str(self.files[-1][0])


def show(path: KeyPath) -> str:
    """A key path as one writes it: 'arms[0].grid."method.density"[2]'."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f'."{part}"' if "." in part else f".{part}"
    return text.removeprefix(".")


def line_numbers(text: str) -> dict[KeyPath, int]:
    """The line of every key in a valid TOML text.

    Every header and every assignment of a valid file is valid TOML by itself: lines are gathered until the TOML
    reader accepts them, and what it read tells the keys.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    elements: dict[KeyPath, int] = {}  # arrays of tables: the index of the current element
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        start = start if statement else number
        statement += f"{line}\n"
        try:
            read = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            table = _enter(read, elements)
            lines.setdefault(table, start)
        else:
            for path in _paths(read, table):
                lines.setdefault(_dotted_axes(path), start)
        statement = ""
    return {_dotted_axes(path): line for path, line in lines.items()}


def _enter(header: Any, elements: dict[KeyPath, int]) -> KeyPath:
    """The path of the table that a header, [a.b] or [[a.b]], opens; counts the elements of arrays of tables."""
    path: KeyPath = ()
    while header:
        if isinstance(header, list):
            elements[path] = elements.get(path, -1) + 1
            return (*path, elements[path])
        if path in elements:
            path = (*path, elements[path])
        ((name, header),) = header.items()
        path = (*path, name)
    return path


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The paths of everything in `value`, which lies at `path`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def _dotted_axes(path: KeyPath) -> KeyPath:
    """Join the keys below an axis table: both `"a.b" = []` and `a.b = []` are the axis "a.b"."""
    at = 2 if path[:1] == ("arms",) else 0
    if len(path) <= at or path[at] not in AXES:
        return path
    at += 1 if path[at] == "grid" else 2
    keys = [part for part in path[at:] if isinstance(part, str)]
    return (*path[:at], ".".join(keys), *path[at + len(keys) :]) if keys else path


def _prefixes(path: KeyPath) -> Iterator[KeyPath]:
    return (path[:length] for length in range(len(path), 0, -1))
