"""From records to tables and back: `compact` writes them, `read_table` reads one or makes it in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from petlsparse.errors import Problem, UserError, unknown_name
from petlsparse.recipe.schema import setting_columns
from petlsparse.tracking.atomic import rename_with_suffix, replacing
from petlsparse.tracking.columns import DOCUMENTED, SETTINGS, recorded_dtype
from petlsparse.tracking.growing import Growing
from petlsparse.tracking.parts import (
    columns_to_arrow,
    concatenate,
    read_metadata,
    read_parquet,
    schema_version,
)
from petlsparse.tracking.record import FINAL, SCHEMA_VERSION, Record, refuse_other
from petlsparse.tracking.snapshot import Snapshot
from petlsparse.tracking.store import OnCorrupt, Store
from petlsparse.tracking.tables import (
    COST_COLUMNS,
    HISTORY,
    IDENTITY,
    METRIC_COLUMNS,
    PARTS,
    PROVENANCE_COLUMNS,
    ROLE,
    RUN_ID,
    RUNS,
    SCHEMA_COLUMN,
    TABLES,
    Dtype,
)

if TYPE_CHECKING:
    import pandas as pd

RECORDS_AT_A_TIME = 1000
"""Records that are in memory at a time while tables are made of them."""

MADE_FROM = b"records"
"""Key of a table's file metadata: the digest of the records it was made from."""


def compact(source: Snapshot | Store) -> None:
    """Make every table from the records, unless all are up to date. For the holder of the lock.

    Damaged records are set aside, and what killed writers left is removed: who was killed wrote no tables afterwards.
    Raises UserError when the tables cannot be written.
    """
    seen = Snapshot.of(source)
    store, corrupt = seen.store, set[str]()
    if all(read_metadata(store.table(name)).get(MADE_FROM) == seen.records_digest for name in TABLES):
        return
    _keep_tables_without_records(store, seen.stamps)
    store.tidy()

    def on_corrupt(run_id: str, reason: str) -> None:
        store.rename_corrupt(run_id, reason)
        corrupt.add(run_id)

    try:
        with ExitStack() as files:
            growing = {
                name: Growing(files.enter_context(replacing(store.table(name), durable=False)), table, _ORDERS[name])
                for name, table in TABLES.items()
            }
            for pieces in _pieces(seen, TABLES, on_corrupt):
                for run_id in _finished(pieces[RUNS.name]):
                    store.tidy_run(run_id)
                for name, piece in pieces.items():
                    growing[name].add(piece)
            made_from = seen.without(corrupt).records_digest
            for file in growing.values():
                file.close({MADE_FROM: made_from})
    except OSError as error:
        raise UserError(Problem(f"cannot write the tables: {error.strerror}", where=str(store.path))) from error


def _finished(runs: pa.Table) -> Iterator[str]:
    statuses = zip(runs[RUN_ID.name].to_pylist(), runs["status"].to_pylist(), strict=True)
    return (run_id for run_id, status in statuses if status in FINAL)


def _keep_tables_without_records(store: Store, run_ids: Collection[str]) -> None:
    """Rename tables none of whose runs has a record here: they came without, and would be lost."""
    runs = read_parquet(store.table(RUNS.name), {RUN_ID.name}.__contains__)
    if runs is None or not runs.num_rows or not set(runs[RUN_ID.name].to_pylist()).isdisjoint(run_ids):
        return
    for name in TABLES:
        if store.table(name).exists():
            rename_with_suffix(store.table(name), "without-records")


def read_table(source: Snapshot | Store | Path | str, name: str) -> pd.DataFrame:
    """One table of a store: "runs", "metrics", "edges" or "topology". Nothing is written.

    A table that is missing, damaged or older than the records is made from them in memory; damaged records are passed
    over. Raises UserError when there is neither a readable table nor a record, and for a newer schema.
    """
    frame: pd.DataFrame = _table(source, name).to_pandas()
    return frame


def _table(
    source: Snapshot | Store | Path | str, name: str, wanted: Callable[[str], bool] = lambda _: True
) -> pa.Table:
    if name not in TABLES:
        raise UserError(unknown_name("table", name, TABLES))
    seen = Snapshot.of(source)
    if (table := _written(seen, name, wanted)) is not None:
        return table
    if not seen.stamps:
        problem = "damaged" if seen.store.table(name).exists() else "missing"
        message = f"{problem}, and there are no records to make it from"
        raise UserError(Problem(message, where=str(seen.store.table(name))))
    made = concatenate(TABLES[name], [pieces[name] for pieces in _pieces(seen, [name])])
    return made.select(_ORDERS[name](made.column_names))


def read_columns(
    source: Snapshot | Store | Path | str, name: str, leave_out: Collection[str] = ()
) -> dict[str, list[Any]]:
    """The columns of a table, some left out, as plain values, what is null None; see `read_table`.

    Equal strings are one object.
    """
    table = _table(source, name, lambda column: column not in leave_out)
    return {column: _plain(table[column]) for column in table.column_names if column not in leave_out}


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    if not pa.types.is_string(column.type):
        values: list[Any] = column.to_pylist()
        return values
    words = column.combine_chunks().dictionary_encode()
    texts = words.dictionary.to_pylist()
    return [None if at is None else texts[at] for at in words.indices.to_pylist()]


class RunStatus(NamedTuple):
    """A run's status, how many executions came to an end, and when the last one did, in ISO 8601."""

    status: str
    attempts: int
    finished: str | None


def run_statuses(source: Snapshot | Store, on_corrupt: OnCorrupt | None = None) -> dict[str, RunStatus]:
    """The status of every run with a record, by run id, in the order of `Store.run_ids`.

    A table that is up to date spares reading the records one by one; `on_corrupt` as in `Store.record`.
    """
    seen = Snapshot.of(source)
    table = _written(seen, RUNS.name, {"run_id", *RunStatus._fields}.__contains__)
    if table is not None and seen.stamps:
        columns = (table[name].to_pylist() for name in ("run_id", *RunStatus._fields))
        return {run_id: RunStatus(*status) for run_id, *status in zip(*columns, strict=True)}
    records = (seen.store.record(run_id, on_corrupt) for run_id in seen.stamps)
    return {
        record.run_id: RunStatus(record.status, record.attempts, record.provenance.get("finished"))
        for record in records
        if record is not None
    }


def _written(seen: Snapshot, name: str, wanted: Callable[[str], bool]) -> pa.Table | None:
    """The table as it was written, if it is up to date, or passed on without its records; otherwise None."""
    table = read_parquet(seen.store.table(name), wanted)
    if table is None:
        return None
    version = schema_version(table)
    if version:
        refuse_other(version, str(seen.store.table(name)))
    if seen.stamps:
        return table if (table.schema.metadata or {}).get(MADE_FROM) == seen.records_digest else None
    try:
        return concatenate(TABLES[name], [table]) if version else None
    except pa.ArrowException:
        return None


def _pieces(
    seen: Snapshot, names: Collection[str], on_corrupt: OnCorrupt | None = None
) -> Iterator[dict[str, pa.Table]]:
    """Tables of some runs at a time, in order, one at least; the rows of a run are in the order of recording.

    `on_corrupt` is told of records that are left out, as in `Store.record`.
    """
    run_ids, roles = list(seen.stamps), seen.plans.roles
    for start in range(0, max(len(run_ids), 1), RECORDS_AT_A_TIME):
        records: list[Record] = []
        parts: dict[str, list[pa.Table]] = {name: [] for name in names if name in PARTS}
        for run_id in run_ids[start : start + RECORDS_AT_A_TIME]:
            if (read := _read(seen.store, run_id, parts, on_corrupt or seen.store.warn_corrupt)) is not None:
                records.append(read[0])
                for name, part in read[1].items():
                    parts[name].append(part)
        made = {name: make(records) for name, make in _MADE_OF_RECORDS.items() if name in names}
        if RUNS.name in made:
            made[RUNS.name] = _with_roles(made[RUNS.name], roles)
        yield made | {name: concatenate(PARTS[name], each) for name, each in parts.items()}


def _read(
    store: Store, run_id: str, names: Collection[str], on_corrupt: OnCorrupt
) -> tuple[Record, dict[str, pa.Table]] | None:
    """The record with its rows of those tables; None when there is none, or when it is damaged."""
    stamp = None
    while (record := store.record(run_id, on_corrupt)) is not None:
        parts = {name: store.rows(record, name) for name in record.rows if name in names}
        if all(part is not None for part in parts.values()):
            return record, parts
        stamp, before = store.stamp(run_id), stamp
        if stamp == before:  # otherwise a worker may have written both in between
            on_corrupt(run_id, "its rows are damaged")
            break
    return None


def _runs(records: Sequence[Record]) -> pa.Table:
    """A row for each record: whatever they hold, a column has the same type in every store."""
    rows = []
    dtypes: dict[str, Dtype] = {}
    own: dict[str, None] = {}
    for record in records:
        settings = setting_columns(record.settings)
        identity = {column.name: getattr(record, column.name) for column in IDENTITY}
        rows.append(settings | record.provenance | record.cost | record.metrics | identity)
        for name in (*record.cost, *record.metrics):
            dtypes.setdefault(name, "float64")
        dtypes |= dict.fromkeys(record.provenance, "string")
        own.update(dict.fromkeys(name for name in settings if name not in DOCUMENTED))
    dtypes |= DOCUMENTED
    settings_of = (SETTINGS.get(study, {}) for study in dict.fromkeys(record.study for record in records))
    names = dict.fromkeys([*(name for columns in settings_of for name in columns), *(n for row in rows for n in row)])
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name in own:
        if (dtype := recorded_dtype(columns[name])) is not None:
            dtypes[name] = dtype
        else:
            del columns[name]  # its type is known to the records of others, if to any
    return columns_to_arrow(RUNS, columns | {SCHEMA_COLUMN.name: [SCHEMA_VERSION] * len(rows)}, dtypes)


def _with_roles(runs: pa.Table, roles: Mapping[str, str]) -> pa.Table:
    """What a search asked for a run as stands in the plan: the run itself knows nothing of it."""
    column = pa.array([roles.get(run_id) for run_id in runs[RUN_ID.name].to_pylist()], pa.string())
    return runs.set_column(runs.column_names.index(ROLE.name), ROLE.name, column)


def _in_order(names: Sequence[str]) -> list[str]:
    """Columns of runs: identity, settings, the outcome that is documented, whatever else there is."""
    settings = [name for columns in SETTINGS.values() for name in columns if name in names]
    documented = [column.name for column in (*METRIC_COLUMNS, *COST_COLUMNS, *PROVENANCE_COLUMNS, ROLE)]
    order = dict.fromkeys([*(column.name for column in IDENTITY), *settings, *documented, *names])
    return [*(name for name in order if name != SCHEMA_COLUMN.name), SCHEMA_COLUMN.name]


def _history(records: Sequence[Record]) -> pa.Table:
    columns: dict[str, Sequence[Any]] = {
        name: [row[at] for record in records for row in record.history]
        for at, name in enumerate(("step", "epoch", "split", "metric", "value"))
    }
    run_ids = [record.run_id for record in records for _ in record.history]
    return columns_to_arrow(
        HISTORY, columns | {RUN_ID.name: run_ids, SCHEMA_COLUMN.name: [SCHEMA_VERSION] * len(run_ids)}
    )


_MADE_OF_RECORDS: Mapping[str, Callable[[Sequence[Record]], pa.Table]] = {RUNS.name: _runs, HISTORY.name: _history}

_ORDERS: Mapping[str, Callable[[Sequence[str]], Sequence[str]]] = dict.fromkeys(TABLES, list) | {RUNS.name: _in_order}
