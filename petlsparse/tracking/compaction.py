"""From records to tables and back: `compact` writes them, `read_table` reads one and mends it where needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from petlsparse.errors import Problem, UserError, unknown_name
from petlsparse.recipe.identity import canonical_json
from petlsparse.recipe.nesting import flatten
from petlsparse.tracking.parts import (
    columns_to_arrow,
    concatenate,
    identity_columns,
    read_metadata,
    read_parquet,
    schema_version,
    write_parquet,
)
from petlsparse.tracking.record import SCHEMA_VERSION, Record, refuse_newer
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import COST, HISTORY, IDENTITY, METRICS, PARTS, PROVENANCE, RUNS, SCHEMA, TABLES

if TYPE_CHECKING:
    import pandas as pd

MADE_FROM = b"records"
"""Key of a table's file metadata: the fingerprint of the records it was made from."""


def compact(store: Store) -> None:
    """Make every table from the records, unless all are up to date. Raises UserError when they cannot be written."""
    made_from = store.fingerprint()
    if all(read_metadata(store.table(name)).get(MADE_FROM) == made_from.encode() for name in TABLES):
        return
    tables = build(store)
    try:
        _write(store, tables, made_from)
    except OSError as error:
        raise UserError(Problem(f"cannot write the tables: {error.strerror}", where=str(store.path))) from error


def read_table(store: Store | Path | str, name: str) -> pd.DataFrame:
    """One table of a store: "runs", "metrics", "edges" or "topology".

    A table that is missing, damaged or older than the records is made again from them (and written, where that is
    allowed). Raises UserError when there is neither a readable table nor a record, and for a newer schema.
    """
    if name not in TABLES:
        raise UserError(unknown_name("table", name, TABLES))
    store = store if isinstance(store, Store) else Store.open(store)
    path, made_from = store.table(name), store.fingerprint()
    table = read_parquet(path)
    if table is not None:
        refuse_newer(schema_version(table), str(path))
        up_to_date = (table.schema.metadata or {}).get(MADE_FROM) == made_from.encode()
        if up_to_date or not store.run_ids():  # tables may be passed on without their records
            return _frame(table)
    if not store.run_ids():
        problem = "damaged" if path.exists() else "missing"
        raise UserError(Problem(f"{problem}, and there are no records to make it from", where=str(path)))
    tables = build(store)
    with suppress(OSError):  # a folder that may only be read
        _write(store, tables, made_from)
    return _frame(tables[name])


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def build(store: Store) -> dict[str, pa.Table]:
    """All tables in memory: runs in the order of the plan, the rows of a run in the order of recording."""
    runs: list[_Row] = []
    pieces: dict[str, list[pa.Table]] = {HISTORY.name: [], **{name: [] for name in PARTS}}
    for record in store.records():
        parts = {name: read_parquet(store.part(record.run_id, name)) for name in record.rows}
        if any(part is None or part.num_rows != record.rows[name] for name, part in parts.items()):
            store.set_aside(record.run_id, "its rows are damaged")
            continue
        runs.append(_row(record))
        pieces[HISTORY.name].append(_history(record))
        for name, part in parts.items():
            pieces[name].append(part)
    return {RUNS.name: _runs(runs), **{name: concatenate(TABLES[name], each) for name, each in pieces.items()}}


class _Row(NamedTuple):
    """A record as a row of the runs table."""

    settings: dict[str, Any]
    others: dict[str, Any]


def _row(record: Record) -> _Row:
    identity = {column.name: getattr(record, column.name) for column in IDENTITY}
    outcome = {**record.provenance, **record.cost, **record.metrics, **identity}
    return _Row(_cells(flatten(record.settings, "_")), _cells(outcome))


def _cells(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: canonical_json(value) if isinstance(value, (list, dict)) else value for name, value in values.items()}


def _runs(rows: Sequence[_Row]) -> pa.Table:
    """Identity, settings in order of first appearance, documented outcome, undocumented outcome."""
    identity, outcome = [c.name for c in IDENTITY], [c.name for c in (*METRICS, *COST, *PROVENANCE)]
    settings = [name for row in rows for name in row.settings]
    others = [name for row in rows for name in row.others]
    order = dict.fromkeys([*identity, *settings, *outcome, *others])
    merged = [row.settings | row.others for row in rows]
    columns = {name: _one_type([values.get(name) for values in merged]) for name in order}
    columns |= {SCHEMA.name: [SCHEMA_VERSION] * len(rows)}
    return columns_to_arrow(RUNS, columns).select([*order, SCHEMA.name])


def _one_type(values: Sequence[Any]) -> Sequence[Any]:
    """Values that fit one column: strings where the runs' types do not agree."""
    types = {type(value) for value in values if value is not None}
    if len(types) <= 1 or types <= {int, float}:
        return values
    return [value if value is None or isinstance(value, str) else canonical_json(value) for value in values]


def _history(record: Record) -> pa.Table:
    names = ("step", "epoch", "split", "metric", "value")
    columns: dict[str, Sequence[Any]] = {name: [row[i] for row in record.history] for i, name in enumerate(names)}
    return columns_to_arrow(HISTORY, columns | identity_columns(record.run_id, len(record.history)))


def _write(store: Store, tables: Mapping[str, pa.Table], made_from: str) -> None:
    for name, table in tables.items():
        write_parquet(store.table(name), table, durable=False, metadata={MADE_FROM: made_from.encode()})
