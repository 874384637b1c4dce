"""Data sets that are tables with a column of encoded images and one of labels: in parquet, or saved by `datasets`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path

import pyarrow as pa

from petlsparse.data.files.columns import class_numbers, declared_classes, image_column, label_column
from petlsparse.data.files.encoded import EncodedDataset, decoded_dataset
from petlsparse.data.files.missing_parts import with_missing_parts
from petlsparse.data.files.roots import locate_file
from petlsparse.data.files.shown import shown
from petlsparse.data.files.table_files import ArrowTable, ParquetTable, Row, TableFile
from petlsparse.data.files.tree import FOLDER_SIZE, PART_NAMES, Part
from petlsparse.data.types import FolderSettings, RawDataset
from petlsparse.errors import Problem, UserError

Tables = dict[str, list[TableFile]]
"""Part, or just "all" -> the files of its rows, in order."""


def parquet_images(reference: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """A parquet file, or a folder of such whose names begin with train, val or test (or of its folder `data`).

    Parts that are missing are cut out; see `with_missing_parts`.

    Raises UserError for names, columns or labels that have no clear meaning, and for images that cannot be read.
    """
    path = locate_file("parquet:", reference)
    return _images(path, _parquet(path), image_size, settings)


def saved_images(reference: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """A folder that `save_to_disk` of Hugging Face's `datasets` wrote, or one of its cache with the files of all parts.

    Parts that are missing are cut out; see `with_missing_parts`.

    Raises UserError for folders, columns or labels that have no clear meaning, and for images that cannot be read.
    """
    path = locate_file("arrow:", reference)
    return _images(path, _saved(path), image_size, settings)


def parquet_shape(reference: str, label_column: str | None = None) -> tuple[int, int, int, int]:
    """Channels, height, width and classes, of that column."""
    return _shape(locate_file("parquet:", reference).absolute(), _parquet, label_column)


def saved_shape(reference: str, label_column: str | None = None) -> tuple[int, int, int, int]:
    """Channels, height, width and classes, of that column."""
    return _shape(locate_file("arrow:", reference).absolute(), _saved, label_column)


@lru_cache(maxsize=8)
def _shape(path: Path, read: Callable[[Path], Tables], label_column: str | None) -> tuple[int, int, int, int]:
    with _told(path):
        return 3, FOLDER_SIZE, FOLDER_SIZE, len(_labels(path, read(path), label_column)[0])


def _images(path: Path, tables: Tables, image_size: int | None, settings: FolderSettings) -> RawDataset:
    with _told(path):
        classes, labels = _labels(path, tables, settings.label_column)
        given = {}
        for part, files in tables.items():
            column = image_column(files[0].schema, settings.image_column, files[0].path)
            rows = (Row(file, column, row) for file in files for row in range(file.rows))
            given[part] = Part(tuple(rows), tuple(labels[part]))
    origins = {part: _origin(path, files) for part, files in tables.items()}
    parts, made = with_missing_parts(given, origins, settings)
    return decoded_dataset(EncodedDataset(path, classes, parts, made), image_size, settings)


def _labels(path: Path, tables: Tables, asked: str | None) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    schema = next(iter(tables.values()))[0].schema
    name = label_column(schema, asked, path)
    columns = {
        part: pa.chunked_array(
            list(chain.from_iterable(file.column(name).chunks for file in files)), schema.field(name).type
        )
        for part, files in tables.items()
    }
    where = f"{shown(path)}: {name}"
    classes, numbers = class_numbers(list(columns.values()), declared_classes(schema, name), where)
    return classes, dict(zip(columns, numbers, strict=True))


def _origin(path: Path, files: Sequence[TableFile]) -> str:
    first = shown(str(files[0].path).removeprefix(f"{path}/"))
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _parquet(path: Path) -> Tables:
    held: dict[tuple[Path, str, int], pa.ChunkedArray] = {}
    if path.is_file():
        return {"all": [ParquetTable(path, held)]}
    files = sorted(path.glob("*.parquet")) or sorted((path / "data").glob("*.parquet"))
    if not files:
        raise UserError(Problem("has no parquet files", shown(path)))
    named: Tables = {}
    for file in files:
        word = re.split(r"[-_.0-9]", file.name.lower(), maxsplit=1)[0]
        named.setdefault(PART_NAMES.get(word, "all"), []).append(ParquetTable(file, held))
    return _clear(path, named)


def _saved(path: Path) -> Tables:
    with _told(path):
        if (path / "dataset_dict.json").is_file():
            splits = json.loads((path / "dataset_dict.json").read_text())["splits"]
            named: Tables = {}
            for split in splits:
                named.setdefault(PART_NAMES.get(split.lower(), "all"), []).extend(_arrow_files(path / split))
            return _clear(path, named)
        if (path / "state.json").is_file():
            return {"all": _arrow_files(path)}
    if cached := [file for file in sorted(path.glob("*.arrow")) if not file.name.startswith("cache-")]:
        return _clear(path, _by_part(cached))
    message = "is no folder that Hugging Face's datasets wrote: no dataset_dict.json, no state.json and no .arrow files"
    raise UserError(Problem(message, shown(path)))


def _by_part(files: Sequence[Path]) -> Tables:
    """By the last word of a file's name that is a part's: `NAME-train-00000-of-00002.arrow`."""
    named: Tables = {}
    for file in files:
        words = reversed(re.split(r"[-_.]", file.name.lower()))
        part = next((PART_NAMES[word] for word in words if word in PART_NAMES), "all")
        named.setdefault(part, []).append(ArrowTable(file))
    return named


def _arrow_files(folder: Path) -> list[TableFile]:
    state = json.loads((folder / "state.json").read_text())
    return [ArrowTable(folder / each["filename"]) for each in state["_data_files"]]


def _clear(path: Path, named: Tables) -> Tables:
    """The files by part. Raises UserError where some are of no part, or none is for training."""
    if len(named) > 1 and "all" in named:
        stray = ", ".join(shown(str(file.path).removeprefix(f"{path}/")) for file in named["all"])
        message = f"{stray}: neither training, validation nor test part by its name, beside others that are"
        raise UserError(Problem(message, shown(path), valid=tuple(PART_NAMES)))
    if not {"train", "all"} & set(named):
        raise UserError(Problem(f"has no training part, only {' and '.join(named)}", shown(path)))
    return named


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What cannot be read is the user's to mend."""
    try:
        yield
    except (OSError, pa.ArrowException, json.JSONDecodeError, KeyError) as error:
        raise UserError(Problem(f"cannot be read: {error}", shown(path))) from error
