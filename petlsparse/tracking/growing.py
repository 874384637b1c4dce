"""A table's file that is written piece by piece, and never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from petlsparse.tracking.parts import COMPRESSION, VERSION, common_schema, fitted
from petlsparse.tracking.tables import Table


class Growing:
    """Takes the pieces of a table in order. `order` says how columns follow each other, given the names of all."""

    def __init__(self, path: Path, table: Table, order: Callable[[Sequence[str]], Sequence[str]] = list) -> None:
        self.path, self.table, self.order = path, table, order
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter

    def add(self, piece: pa.Table) -> None:
        """Write a piece below the others."""
        schema = common_schema(self.table, [*([self._schema] if self._schema else []), piece.schema])
        schema = pa.schema([schema.field(name) for name in self.order(schema.names)])
        if schema != self._schema:
            self._widen(schema)
        self._writer.write_table(fitted(piece, schema))

    def _widen(self, schema: pa.Schema) -> None:
        """What is there already is written anew, with columns or types that it had not."""
        wider = self.path.with_name(f"{self.path.name.removesuffix('.tmp')}-wider.tmp")
        writer = pq.ParquetWriter(wider, schema.with_metadata(VERSION), compression=COMPRESSION)
        if self._schema is not None:
            self._writer.close()
            with pq.ParquetFile(self.path) as narrower:
                for at in range(narrower.num_row_groups):
                    writer.write_table(fitted(narrower.read_row_group(at), schema))
        wider.replace(self.path)
        self._schema, self._writer = schema, writer

    def close(self, metadata: Mapping[bytes, bytes]) -> None:
        """No more pieces, of which there was one at least; `metadata` is the file's, beside the schema version."""
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()
