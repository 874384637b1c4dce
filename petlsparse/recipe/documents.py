"""Reading recipe files, and laying them over the ones they extend."""

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petlsparse.errors import Problem, UserError
from petlsparse.recipe.nesting import flatten, merge
from petlsparse.recipe.origins import KeyPath, line_numbers
from petlsparse.recipe.schema import TAGS, canonical_key, fields_of, names_to_tables
from petlsparse.recipe.shipped import find_recipe


@dataclass(frozen=True)
class Document:
    """One recipe file: its text, its table with the keys of all axes dotted, and the lines of its keys."""

    file: Path
    text: str
    table: dict[str, Any]
    lines: Mapping[KeyPath, int]


def read_document(file: Path) -> Document:
    """Read one recipe file; UserError if it cannot be read or is not TOML."""
    try:
        text = file.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}", str(file))) from error
    except UnicodeDecodeError as error:
        raise UserError(Problem("is not UTF-8 text", str(file))) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+)", str(error))
        where = f"{file}:{line[1]}" if line else f"{file}:{text.count(chr(10)) + 1}"
        raise UserError(Problem(f"is not valid TOML: {error}", where)) from error
    for holder in [table, *all_tables(table.get("arms"))]:
        _dot_axes(holder)
    if isinstance(table.get("run"), dict):
        table["run"] = names_to_tables(table["run"])
    if isinstance(table.get("arms"), list):
        table["arms"] = [names_to_tables(arm) if isinstance(arm, dict) else arm for arm in table["arms"]]
    return Document(file, text, table, line_numbers(text))


def read_family(file: Path, folders: Sequence[Path] = ()) -> list[Document]:
    """The recipe in `file` and all that it extends, oldest ancestor first.

    Raises:
        UserError: if a file is missing or broken, or if the recipes extend each other in a circle.
    """
    family = [read_document(file)]
    while (parent := family[0].table.get("extends")) is not None:
        child = family[0].file
        where = f"{child}:{family[0].lines.get(('extends',), 1)}: extends"
        if not isinstance(parent, str):
            raise UserError(Problem("should be the name or path of one recipe", where, repr(parent)))
        found = find_recipe(parent, folders, child.parent, where)
        if any(found.samefile(document.file) for document in family):
            circle = " -> ".join(str(document.file) for document in reversed(family))
            raise UserError(Problem(f"recipes extend each other in a circle: {circle} -> {found}", where))
        family.insert(0, read_document(found))
    return family


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`: tables merge, lists are replaced.

    Where `over` chooses another kind of method, optimizer or schedule, the settings that only the former kind had
    are left behind.
    """
    merged = copy.deepcopy(merge(under, over))
    for table, tag in TAGS.items():
        path = ("run", *table.split("."))
        above, below = at(over, path), at(under, path)
        if isinstance(above, Mapping) and isinstance(below, Mapping) and tag in above and above[tag] != below.get(tag):
            fields = fields_of(merged.get("study"), table, above[tag])
            keep_fields(at(merged, path), {*fields, *above} if fields else None)
    return merged


def at(table: Any, path: Sequence[str]) -> Any:
    """What lies at a path in nested tables; None where there is nothing."""
    for name in path:
        table = table.get(name) if isinstance(table, Mapping) else None
    return table


def keep_fields(table: dict[str, Any], fields: set[str] | None) -> None:
    """Remove everything but `fields` from a table; None keeps all."""
    for key in [key for key in table if fields is not None and key not in fields]:
        del table[key]


def all_tables(value: Any) -> list[dict[str, Any]]:
    """`value` if it is a table, its elements that are tables if it is a list; whatever else it is, nothing."""
    return [table for table in (value if isinstance(value, list) else [value]) if isinstance(table, dict)]


def _dot_axes(holder: dict[str, Any]) -> None:
    if isinstance(holder.get("grid"), dict):
        holder["grid"] = _dotted(holder["grid"])
    for key in ("zip", "exclude"):
        if isinstance(holder.get(key), list):
            holder[key] = [_dotted(group) if isinstance(group, dict) else group for group in holder[key]]


def _dotted(axes: Mapping[str, Any]) -> dict[str, Any]:
    return {canonical_key(key, value): value for key, value in flatten(axes).items()}
