"""The settings reference: what a recipe may say, worked out from the models that read it."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, PlainValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.fields import FUNCTIONS, NAMES, Name, OneOf
from petlsparse.recipe.problems import show_value
from petlsparse.recipe.recipe_file import Launch, Output, RecipeFile
from petlsparse.recipe.schema import RUN_TYPES, TAGS, models_of, shown_key, tables_of
from petlsparse.searches import SEARCHES
from petlsparse.settings import Choice, Form, SettingsTable, Unit

REQUIRED = "required"

_TYPES = {bool: "true or false", int: "integer", float: "number", str: "text", dict: "table", Duration: "duration"}
_DURATIONS = ('"20 epochs"', '"500 steps"')
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True)
class SettingEntry:
    """One setting, or one kind of a table that comes in several."""

    section: str
    """The table it belongs to; "recipe" for what stands at the top."""
    key: str
    """As `--set` and the axes of a recipe write it."""
    studies: tuple[str, ...]
    """Those whose recipes have it."""
    kinds: tuple[str, ...]
    """The kinds of its table that have it; empty for a table of one kind."""
    type: str
    default: str
    """In TOML; "required", or empty where there is none."""
    unit: str
    valid: tuple[str, ...]
    """The names there are to choose from, or the bounds of a number."""
    meaning: str


def reference(study: str | None = None) -> list[SettingEntry]:
    """All settings, or those of one study's recipes, in the order of the models."""
    studies = (study,) if study else tuple(RUN_TYPES)
    found = [
        entry
        for each in studies
        for table in tables_of(each)
        for model in models_of(each, table)
        for entry in _entries(table, f"{table}.", model, (each,))
    ]
    return [
        *_entries("recipe", "", RecipeFile, studies),
        *_merged(found),
        *(entry for name in SEARCHES for entry in _entries("search", "search.", OneOf("search").model(name), studies)),
        *_entries("output", "output.", Output, studies),
        *_entries("launch", "launch.", Launch, studies),
    ]


def sections(entries: Iterable[SettingEntry]) -> dict[str, list[SettingEntry]]:
    """The entries by the table they belong to, in order of first appearance."""
    grouped: dict[str, list[SettingEntry]] = {}
    for entry in entries:
        grouped.setdefault(entry.section, []).append(entry)
    return grouped


def markdown() -> str:
    """The page `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Everything a recipe may say; `petlsparse settings` shows the same. This page is written by",
        "`petlsparse settings --markdown`, from the models that read recipes.",
        "",
        "A setting stands in the table of its name below `[run]` or in an arm; `--set`, `--axis` and the axes of a",
        'recipe write its dotted key. A recipe with `extends = "OTHER"` at its top starts from all that the other one',
        "says.",
    ]
    for section, entries in sections(reference()).items():
        lines += [
            "",
            f"## {section}",
            "",
            "| key | of | type | default | valid | meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_pipes(entry) for entry in entries]
    return "\n".join(lines) + "\n"


def applies_to(entry: SettingEntry) -> str:
    """The kinds, or else the one study, that a setting belongs to; empty for what all recipes may say."""
    return ", ".join(entry.kinds or entry.studies * (len(entry.studies) < len(RUN_TYPES)))


def _pipes(entry: SettingEntry) -> str:
    default = entry.default if entry.default in ("", REQUIRED) else f"`{entry.default}`"
    measure = ", ".join(filter(None, (entry.type, entry.unit)))
    cells = (f"`{entry.key}`", applies_to(entry), measure, default, ", ".join(entry.valid), entry.meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _entries(section: str, prefix: str, model: type[SettingsTable], studies: tuple[str, ...]) -> Iterator[SettingEntry]:
    """The settings of one model; the field that says which kind of table it is stands for the kind."""
    meanings, tag = attribute_docstrings(model), "name" if issubclass(model, Choice) else TAGS.get(section)
    kinds = (str(model.model_fields[tag].default),) if tag else ()
    for name, field in model.model_fields.items():
        kind, unit, valid = _read(field.annotation, field.metadata)
        default, meaning = _default(field), meanings.get(name, "")
        if name == tag:
            default, meaning = _chosen(studies[0], section), inspect.cleandoc(model.__doc__ or "")
        yield SettingEntry(section, shown_key(prefix + name), studies, kinds, kind, default, unit, valid, meaning)


def _chosen(study: str, table: str) -> str:
    """The kind of a table that a run has unless told otherwise; empty where the table itself says so."""
    if "." in table:
        return ""
    field = RUN_TYPES[study].model_fields.get(table)
    default = field.default if field else None
    return show_value(getattr(default, TAGS[table])) if isinstance(default, BaseModel) else REQUIRED


def _merged(entries: Iterable[SettingEntry]) -> list[SettingEntry]:
    """Entries that differ in nothing but study and kind as one."""
    merged: dict[SettingEntry, SettingEntry] = {}
    for entry in entries:
        bare = replace(entry, studies=(), kinds=())
        known = merged.get(bare, bare)
        studies = tuple(dict.fromkeys(known.studies + entry.studies))
        merged[bare] = replace(known, studies=studies, kinds=tuple(dict.fromkeys(known.kinds + entry.kinds)))
    return list(merged.values())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    value = field.default
    if value in (None, (), "") or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    return show_value(str(value) if isinstance(value, Duration) else value)


def _read(annotation: Any, metadata: Iterable[Any]) -> tuple[str, str, tuple[str, ...]]:
    """Type, unit and valid values of an annotation and what is attached to it."""
    marks = [mark for each in metadata for mark in (each.metadata if isinstance(each, FieldInfo) else [each])]
    for mark in marks:
        if isinstance(mark, PlainValidator) and isinstance(mark.func, OneOf):
            return "name or table", "", tuple(FUNCTIONS[mark.func.kind])
    form = next((mark for mark in marks if isinstance(mark, Form)), None)
    if form:
        return form.name, "", form.examples
    unit = next((mark.name for mark in marks if isinstance(mark, Unit)), "")
    checks = [mark.func for mark in marks if isinstance(mark, AfterValidator)]
    valid = tuple(name for check in checks if isinstance(check, Name) for name in NAMES[check.kind])
    valid = valid or tuple(
        f"{sign} {getattr(mark, bound)}"
        for mark in marks
        for bound, sign in _BOUNDS.items()
        if getattr(mark, bound, 2**63) < 2**63  # a bound beyond that says only what can be stored
    )
    inner: tuple[str, str, tuple[str, ...]]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _read(arguments[0], arguments[1:])
    elif origin in (Union, UnionType):
        parts = [_read(each, ()) for each in arguments if each is not type(None)]
        inner = " or ".join(part[0] for part in parts), parts[0][1], tuple(v for part in parts for v in part[2])
    elif origin is Literal:
        inner = "text", "", tuple(map(str, arguments))
    elif origin in (list, tuple):
        kind, inner_unit, inner_valid = _read(arguments[0], ())
        plural = f"{kind}s" if kind in ("integer", "number", "table", "text") else "pairs"
        inner = f"list of {plural}", inner_unit, inner_valid
    else:
        inner = _TYPES.get(origin or annotation, "table"), "", _DURATIONS if annotation is Duration else ()
    return inner[0], unit or inner[1], valid or inner[2]


def attribute_docstrings(model: type[SettingsTable]) -> dict[str, str]:
    """Field -> the string below it in the source of the class, as one line; of a function's settings, what it says."""
    if issubclass(model, Choice):
        return {name: field.description or "" for name, field in model.model_fields.items()}
    found: dict[str, str] = {}
    for each in reversed(
        [each for each in model.__mro__ if issubclass(each, SettingsTable) and each is not SettingsTable]
    ):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        found |= _documented(definition.body)
    return found


def _documented(body: Sequence[ast.stmt]) -> dict[str, str]:
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found
