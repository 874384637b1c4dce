"""Tables on disk, read a column or an image at a time: parquet files, and arrow files of Hugging Face's `datasets`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from petlsparse.data.files.shown import shown


class TableFile(Protocol):
    """One file of a table's rows."""

    path: Path

    @property
    def schema(self) -> pa.Schema:
        """Of all columns."""
        ...

    @property
    def rows(self) -> int:
        """How many."""
        ...

    def column(self, name: str) -> pa.ChunkedArray:
        """All its values."""
        ...

    def value(self, name: str, row: int) -> Any:
        """One of its values."""
        ...


class ParquetTable:
    """Holds one column of one row group: rows are asked for in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[str, int, pa.ChunkedArray] | None = None

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path)

    @cached_property
    def _starts(self) -> list[int]:
        groups = self._file.metadata.num_row_groups
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(groups)]
        return [sum(sizes[:group]) for group in range(groups)]

    @property
    def schema(self) -> pa.Schema:
        """Of all columns."""
        return self._file.schema_arrow

    @property
    def rows(self) -> int:
        """How many."""
        return int(self._file.metadata.num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """All its values."""
        return self._file.read([name])[name]

    def value(self, name: str, row: int) -> Any:
        """One of its values."""
        group = max(group for group, start in enumerate(self._starts) if start <= row)
        if self._held is None or self._held[:2] != (name, group):
            self._held = name, group, self._file.read_row_group(group, [name])[name]
        return self._held[2][row - self._starts[group]].as_py()


class ArrowTable:
    """Mapped into memory; nothing is read that is not asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _table(self) -> pa.Table:
        source = pa.memory_map(str(self.path))
        try:
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(source).read_all()

    @property
    def schema(self) -> pa.Schema:
        """Of all columns."""
        return self._table.schema

    @property
    def rows(self) -> int:
        """How many."""
        return int(self._table.num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """All its values."""
        return self._table[name]

    def value(self, name: str, row: int) -> Any:
        """One of its values."""
        return self._table[name][row].as_py()


@dataclass(frozen=True)
class Row:
    """The encoded image in a row of a table."""

    table: TableFile
    column: str
    row: int

    def read_bytes(self) -> bytes:
        """The image file. Raises OSError where there is none."""
        try:
            value = self.table.value(self.column, self.row)
        except pa.ArrowException as error:
            raise OSError(str(error)) from error
        content = value["bytes"] if isinstance(value, dict) else value
        if content is None and isinstance(value, dict) and value.get("path"):
            return Path(self.table.path.parent, str(value["path"])).read_bytes()
        if not isinstance(content, bytes):
            raise OSError("no image in this row")
        return content

    def __str__(self) -> str:
        return f"{shown(self.table.path)}, row {self.row}"
