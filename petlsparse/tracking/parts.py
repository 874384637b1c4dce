"""A run's bulk rows in one compressed parquet file per table, and the Arrow forms all tables share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from petlsparse.tracking.atomic import replacing
from petlsparse.tracking.record import SCHEMA_VERSION
from petlsparse.tracking.tables import RUN_ID, SCHEMA, Table

TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
METADATA = b"schema_version"


def columns_to_arrow(table: Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Columns of values as an Arrow table in the documented types and order, whatever is missing null.

    Columns the table does not document come last, in the type of their values.
    """
    rows = len(next(iter(columns.values()), ()))
    documented = {c.name: _typed(columns.get(c.name, [None] * rows), c.dtype) for c in table.columns}
    others = {name: _inferred(values) for name, values in columns.items() if name not in documented}
    return pa.table({**documented, **others})


def _typed(values: Sequence[Any], dtype: str) -> pa.Array:
    if (
        dtype == "float64"
    ):  # Arrow refuses integers that a float cannot hold exactly, such as the FLOPs of a large model
        values = [value if value is None else float(value) for value in values]
    return pa.array(values, TYPES[dtype])


def _inferred(values: Sequence[Any]) -> pa.Array:
    array = pa.array(values)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def write_part(path: Path, table: Table, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows one run recorded for `table`, atomically."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Sequence[Any]] = {name: [row.get(name) for row in rows] for name in names}
    columns |= identity_columns(run_id, len(rows))
    write_parquet(path, columns_to_arrow(table, columns), durable=True)


def identity_columns(run_id: str, rows: int) -> dict[str, Sequence[Any]]:
    """The two columns every table has."""
    return {RUN_ID.name: [run_id] * rows, SCHEMA.name: [SCHEMA_VERSION] * rows}


def read_parquet(path: Path) -> pa.Table | None:
    """The file's content, or None when it is missing, truncated or damaged."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException):
        return None


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """The metadata of a file; none when it is missing, truncated or damaged."""
    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}


def write_parquet(path: Path, table: pa.Table, *, durable: bool, metadata: Mapping[bytes, bytes] = {}) -> None:
    """Write with zstd and the schema version in the file's metadata, atomically."""
    table = table.replace_schema_metadata({METADATA: str(SCHEMA_VERSION).encode(), **metadata})
    with replacing(path, durable=durable) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def schema_version(table: pa.Table) -> int:
    """The version in a file's metadata; 0 for a file that petlsparse did not write."""
    return int((table.schema.metadata or {}).get(METADATA, b"0"))


def concatenate(table: Table, pieces: Iterable[pa.Table]) -> pa.Table:
    """All pieces below each other; a column some lack is null there."""
    empty = columns_to_arrow(table, {})
    return pa.concat_tables([empty, *pieces], promote_options="permissive")
