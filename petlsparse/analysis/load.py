"""The runs of one or several stores as plain records."""

from collections.abc import Iterable
from pathlib import Path

from petlsparse.errors import Problem, UserError
from petlsparse.tracking.compaction import read_table

from .rows import Record


def load_runs(stores: Iterable[Path | str]) -> list[Record]:
    """Every run of every store once, in order; of runs in several stores, the first that is done.

    Raises UserError for a folder that is not a store, or when there is no run at all.
    """
    runs: dict[str, Record] = {}
    folders = list(dict.fromkeys(str(store) for store in stores))
    for folder in folders:
        table = read_table(folder, "runs").astype(object)
        for record in table.where(table.notna(), None).to_dict("records"):
            known = runs.get(record["run_id"])
            if known is None or known["status"] != "done":
                runs[record["run_id"]] = {str(name): value for name, value in record.items()}
    if not runs:
        raise UserError(Problem("there are no runs yet", where=", ".join(folders)))
    return _same_columns(list(runs.values()))


def _same_columns(records: list[Record]) -> list[Record]:
    """The records with each other's columns, missing ones None."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return [{name: record.get(name) for name in names} for record in records]
