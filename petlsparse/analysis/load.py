"""The runs of one or several stores as plain records."""

from collections.abc import Iterable
from pathlib import Path

from petlsparse.analysis.rows import Record
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.schema import neutral_columns
from petlsparse.tracking.compaction import read_table


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
                columns = {str(name): value for name, value in record.items()}
                runs[record["run_id"]] = columns | neutral_columns(columns)
    if not runs:
        raise UserError(Problem("there are no runs yet", where=", ".join(folders)))
    return list(runs.values())
