"""Which columns of a table are images and labels, and what the classes are. Knows Hugging Face's notes in a schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from petlsparse.data.files.shown import shown
from petlsparse.errors import Problem, UserError, nearest_name


def image_column(schema: pa.Schema, asked: str | None, path: Path) -> str:
    """The column of encoded images: of bytes, or of Hugging Face's structs of bytes and path.

    Raises UserError where there is none, or several and none is asked for.
    """
    found = [field.name for field in schema if _holds_bytes(field.type)]
    return _chosen(found, asked, path, "image")


def label_column(schema: pa.Schema, asked: str | None, path: Path) -> str:
    """The column of labels, whole numbers or text: the only one there is, or the one called "label".

    Raises UserError where there is none, or several and none is asked for.
    """
    found = [field.name for field in schema if kinds.is_integer(field.type) or _is_text(field.type)]
    return _chosen(found, asked or ("label" if "label" in found else None), path, "label")


def declared_classes(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """The names of classes that Hugging Face's ClassLabel gives a column of numbers; none where it has no such."""
    notes = (schema.metadata or {}).get(b"huggingface")
    feature = json.loads(notes).get("info", {}).get("features", {}).get(column, {}) if notes else {}
    return tuple(feature.get("names", ())) if feature.get("_type") == "ClassLabel" else ()


def class_numbers(
    columns: Sequence[pa.ChunkedArray], declared: tuple[str, ...], where: str
) -> tuple[tuple[str, ...], list[list[int]]]:
    """The names of all classes, and every column of labels as their numbers.

    Text is numbered in its order, numbers are as they are. Raises UserError for labels that are missing or below 0.
    """
    if missing := sum(column.null_count for column in columns):
        raise UserError(Problem(f"{missing} labels are missing", where))
    values = [column.to_pylist() for column in columns]
    if any(map(_is_text, (column.type for column in columns))):
        names = tuple(sorted({each for column in values for each in column}))
        numbers = {name: number for number, name in enumerate(names)}
        return names, [[numbers[each] for each in column] for column in values]
    numbers_found = [each for column in values for each in column]
    if not numbers_found or min(numbers_found) < 0:
        raise UserError(Problem("labels should be numbers from 0", where, str(min(numbers_found, default="none"))))
    return declared or tuple(map(str, range(max(numbers_found) + 1))), values


def _chosen(found: Sequence[str], asked: str | None, path: Path, what: str) -> str:
    if asked is not None and asked not in found:
        message = f"{shown(path)} has no such column of {what}s"
        raise UserError(Problem(message, f"data.{what}_column", asked, nearest_name(asked, found), tuple(found)))
    if asked is None and len(found) != 1:
        message = f"{len(found) or 'no'} columns could be the {what}s" + (
            "; set data." + what + "_column" if found else ""
        )
        raise UserError(Problem(message, shown(path), valid=tuple(found)))
    return asked or found[0]


def _holds_bytes(kind: Any) -> bool:
    if kinds.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    if kinds.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind))
