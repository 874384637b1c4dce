"""Tables on disk, read a column or an image at a time: parquet files, and arrow files of Hugging Face's `datasets`."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
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
    """A parquet file, read a column of a row group at a time.

    Args:
        path: of the file.
        held: shared by the files of a data set: the one such column that is in memory. Rows are asked for in order.
    """

    def __init__(self, path: Path, held: dict[tuple[Path, str, int], pa.ChunkedArray]) -> None:
        self.path, self._held = path, held

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path)

    @cached_property
    def _starts(self) -> list[int]:
        about = self._file.metadata
        sizes = (about.row_group(group).num_rows for group in range(about.num_row_groups))
        return list(accumulate(sizes, initial=0))

    @property
    def schema(self) -> pa.Schema:
        """Of all columns."""
        return self._file.schema_arrow

    @property
    def rows(self) -> int:
        """How many."""
        return self._starts[-1]

    def column(self, name: str) -> pa.ChunkedArray:
        """All its values."""
        return self._file.read([name])[name]

    def value(self, name: str, row: int) -> Any:
        """One of its values."""
        group = bisect_right(self._starts, row) - 1
        key = self.path, name, group
        if key not in self._held:
            self._held.clear()
            self._held[key] = self._file.read_row_group(group, [name])[name]
        return self._held[key][row - self._starts[group]].as_py()


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
