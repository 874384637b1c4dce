"""A run's bulk rows in one compressed parquet file per table, and the Arrow forms all tables share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from petlsparse.tracking.atomic import replacing
from petlsparse.tracking.columns import in_column, storable
from petlsparse.tracking.record import SCHEMA_VERSION
from petlsparse.tracking.tables import RUN_ID, SCHEMA_COLUMN, Dtype, Table

TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
SCHEMA_KEY = b"schema_version"
VERSION = {SCHEMA_KEY: str(SCHEMA_VERSION).encode()}
"""Metadata of every file."""
COMPRESSION = "zstd"


def columns_to_arrow(
    table: Table, columns: Mapping[str, Sequence[Any]], further: Mapping[str, Dtype] = MappingProxyType({})
) -> pa.Table:
    """Columns of values as an Arrow table in the documented types and order, whatever is missing null.

    Columns the table does not document come last: those of `further` in its types, numbers as float64, others as text.
    """
    rows = len(next(iter(columns.values()), ()))
    dtypes: dict[str, Dtype] = {column.name: column.dtype for column in table.columns}
    dtypes |= {name: further.get(name) or _undocumented(columns[name]) for name in columns if name not in dtypes}
    absent = [None] * rows
    return pa.table({name: _array(in_column(columns.get(name, absent), t), t) for name, t in dtypes.items()})


def _array(values: list[Any], dtype: Dtype) -> pa.Array:
    if not values:
        return pa.nulls(0, TYPES[dtype])  # `pa.array` would import pandas, to see whether they are one of its arrays
    try:
        return pa.array(values, TYPES[dtype])
    except UnicodeEncodeError:
        return pa.array(storable(values), TYPES[dtype])


def _undocumented(values: Iterable[Any]) -> Dtype:
    numbers = all(isinstance(value, int | float) for value in values if value is not None)
    return "float64" if numbers else "string"


def write_part(path: Path, table: Table, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows one run recorded for `table`, atomically."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Sequence[Any]] = {name: [row.get(name) for row in rows] for name in names}
    columns |= identity_columns(run_id, len(rows))
    write_parquet(path, columns_to_arrow(table, columns), durable=True)


def identity_columns(run_id: str, rows: int) -> dict[str, Sequence[Any]]:
    """The two columns every table has."""
    return {RUN_ID.name: [run_id] * rows, SCHEMA_COLUMN.name: [SCHEMA_VERSION] * rows}


def read_part(path: Path, table: Table, run_id: str, rows: int) -> pa.Table | None:
    """So many rows that a run recorded for `table`, or None when the file has others, is missing or damaged.

    Raises OSError when it cannot be read: whether it is damaged is not known then.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        part = pq.read_table(pa.BufferReader(content))
        schema = columns_to_arrow(table, {}).schema
        sound = part.num_rows == rows and all(part.schema.field(column.name).type == column.type for column in schema)
        return part if sound and (rows == 0 or part[RUN_ID.name].unique().to_pylist() == [run_id]) else None
    except (OSError, KeyError, pa.ArrowException):  # of what was read: pyarrow has no other word for a damaged page
        return None


def read_parquet(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> pa.Table | None:
    """The wanted columns of a table; None when it is missing, truncated, damaged or cannot be read."""
    try:
        with path.open("rb") as file:  # pyarrow takes no path that is not UTF-8
            parquet = pq.ParquetFile(file)
            return parquet.read(list(filter(wanted, parquet.schema_arrow.names)))
    except (OSError, pa.ArrowException):
        return None


def has_rows(path: Path) -> bool:
    """Whether a table's file holds anything."""
    try:
        return bool(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):
        return False


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """The metadata of a file; none when it is missing, truncated or damaged."""
    try:
        with path.open("rb") as file:
            return pq.read_metadata(file).metadata or {}
    except (OSError, pa.ArrowException):
        return {}


def write_parquet(path: Path, table: pa.Table, *, durable: bool) -> None:
    """Write with the schema version in the file's metadata, atomically."""
    with replacing(path, durable=durable) as temporary:
        pq.write_table(table.replace_schema_metadata(VERSION), temporary, compression=COMPRESSION)


def schema_version(table: pa.Table) -> int:
    """The version in a file's metadata; 0 for a file that petlsparse did not write."""
    version = (table.schema.metadata or {}).get(SCHEMA_KEY, b"0")
    return int(version) if version.isdigit() else 0


def common_schema(table: Table, schemas: Iterable[pa.Schema]) -> pa.Schema:
    """What pieces of a table must be like to stand below each other.

    A column the table does not document, of several types, becomes float64 if all are numbers, or else text. Raises
    ArrowException for a documented one of another type.
    """
    documented = columns_to_arrow(table, {}).schema
    found: dict[str, set[pa.DataType]] = {}
    for schema in (documented, *schemas):
        for field in schema:
            found.setdefault(field.name, set()).add(field.type)
    for name in documented.names:
        if len(found[name]) > 1:
            raise pa.ArrowTypeError(f"{table.name}: {name} has several types")
    return pa.schema([(name, _of_all(types)) for name, types in found.items()])


def fitted(piece: pa.Table, schema: pa.Schema) -> pa.Table:
    """A piece with the columns of a common schema; those it lacks are null."""
    names = set(piece.column_names)
    columns = [
        piece[field.name].cast(field.type) if field.name in names else pa.nulls(len(piece), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def concatenate(table: Table, pieces: Sequence[pa.Table]) -> pa.Table:
    """All pieces below each other; see `common_schema`."""
    schema = common_schema(table, (piece.schema for piece in pieces))
    # Not always beside an empty table: to make one imports pandas.
    return pa.concat_tables([fitted(piece, schema) for piece in pieces]) if pieces else schema.empty_table()


def _of_all(types: Collection[pa.DataType]) -> pa.DataType:
    return next(iter(types)) if len(types) == 1 else pa.float64() if all(map(_is_number, types)) else pa.string()


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))
