"""From pydantic's errors to problems that name the setting, the value and what would have been accepted."""

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from petlsparse.errors import Problem, nearest_name
from petlsparse.recipe.origins import KeyPath
from petlsparse.recipe.schema import RUN_TYPES, TAGS, fields_of, shown_key, table_and_field

_WORDS = {
    "missing": "is required",
    "union_tag_not_found": "is required",
    "literal_error": "unknown value",
    "union_tag_invalid": "unknown value",
    "model_type": "should be a table",
    "model_attributes_type": "should be a table",
    "dict_type": "should be a table",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "string_type": "should be a string",
}


_RENAMED = {
    "output.keep": "output.save_weights",
    "data.fit": "data.train_on",
    "method.state": "method.optimizer_state",
    "method.draw": "method.placement.seed",
    "method.mest_lambda": "method.criterion.lambda",
}
"""What keys were called in recipes before version 0.3, and what they are called now."""


def key_of(error: ErrorDetails) -> KeyPath:
    """The key path, below the run, of an error of validating a run.

    pydantic puts the kind into the path, ("method", "dst", "density"), and leaves out which key chooses the kind.
    """
    path = error["loc"]
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return (path[0], TAGS[str(path[0])])
    if path and path[0] in _UNIONS:
        path = (path[0], *path[2:])
    if len(path) == 3 and shown_key(".".join(map(str, path))) != ".".join(map(str, path)):
        return path[:-1]
    return path


_UNIONS = ("method", "optimizer", "schedule")


def table_of(key: KeyPath) -> str:
    """The dotted key of the table that a key path lies in."""
    return table_and_field(".".join(part for part in key if isinstance(part, str)))[0]


def explain(error: ErrorDetails, where: str, valid: Iterable[str] = (), elsewhere: Iterable[str] = ()) -> Problem:
    """The problem of one pydantic error.

    `valid` are the keys that may stand where an unknown one was found; `elsewhere` those of other tables.
    """
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        return unknown_key(str(error["loc"][-1]), where, valid, elsewhere)
    valid = _valid_values(error)
    if kind == "union_tag_invalid":
        value = context["tag"]
    message = _WORDS.get(kind) or str(context.get("error") or error["msg"])
    message = re.sub(r"^(Input|Tuple|List|String) ", "", message)
    shown = None if kind in ("missing", "union_tag_not_found") or isinstance(value, dict) else show_value(value)
    nearest = nearest_name(value, valid) if isinstance(value, str) else None
    return Problem(message, where, shown, context.get("nearest", nearest), valid)


def unknown_key(key: str, where: str, valid: Iterable[str], elsewhere: Iterable[str] = ()) -> Problem:
    """The problem of a key that its table does not have; `elsewhere` are the dotted keys of all tables."""
    valid = tuple(valid)
    renamed = (new for old, new in _RENAMED.items() if old.endswith(f".{key}") and old in where)
    nearest = next(renamed, None) or nearest_name(key, valid) or nearest_setting(key, elsewhere)
    return Problem(f'unknown key "{key}"', where, None, nearest, valid)


def nearest_setting(key: str, keys: Iterable[str]) -> str | None:
    """Those of the dotted `keys` whose last part is closest to `key`: `method.rank` for `rank`."""
    by_name: dict[str, list[str]] = {}
    for dotted in keys:
        by_name.setdefault(dotted.rpartition(".")[2], []).append(dotted)
    name = nearest_name(key, by_name, cutoff=0.8)  # "backbone" is not meant to be data.background
    return " or ".join(by_name[name]) if name else None


def valid_keys(study: str, key: KeyPath, kind: object) -> tuple[str, ...]:
    """What may stand in place of the last part of `key`, in a table of that `kind`."""
    if len(key) == 1:
        return tuple(name for name in RUN_TYPES[study].model_fields if name not in ("study", "seed"))
    return fields_of(study, table_of(key), kind) or ()


def show_value(value: Any) -> str:
    """A value as TOML, near enough: "text", true, [1, 2]."""
    return json.dumps(value, default=str, ensure_ascii=False)


def _valid_values(error: ErrorDetails) -> tuple[str, ...]:
    """The values that pydantic would have accepted: it tells them in words, "'a', 'b' or 'c'"."""
    context = error.get("ctx", {})
    if "valid" in context:
        return tuple(context["valid"])
    return tuple(re.findall(r"'([^']*)'", context.get("expected") or context.get("expected_tags") or ""))
