"""The runs of one or several stores as plain records."""

import warnings
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from petlsparse.analysis.rows import Record
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.schema import neutral_columns
from petlsparse.tracking.compaction import read_rows
from petlsparse.tracking.fingerprints import differing, fingerprints_of
from petlsparse.tracking.record import FINAL
from petlsparse.tracking.tables import METRICS

_RESULT = frozenset(("status", *(column.name for column in METRICS)))


def load_runs(stores: Iterable[Path | str], leave_out: Collection[str] = ()) -> list[Record]:
    """Every run of every store once, in order; of runs in several stores, the first that has a result.

    The rows lack the columns that are to be left out, unless it takes them to hold runs of several stores together.

    Where such runs rest on different content, all of them. Where they do not and yet have other results, a warning
    says so. Raises UserError for a folder that is not a store, or when there is no run at all.
    """
    runs: dict[str, list[Record]] = {}
    folders = list(dict.fromkeys(str(store) for store in stores))
    if len(folders) > 1:
        leave_out = set(leave_out) - _RESULT
    for folder in folders:
        unlike = 0
        for row in _rows(folder, leave_out):
            alike = runs.setdefault(row["run_id"], [])
            place = next((i for i, known in enumerate(alike) if not differing(known, fingerprints_of(row))), None)
            if place is None:
                alike.append(row)
            elif alike[place]["status"] not in FINAL:
                alike[place] = row
            elif row["status"] in FINAL:
                unlike += any(row.get(name) != alike[place].get(name) for name in _RESULT)
        if unlike:
            message = f"{folder}: {unlike} runs have other results here than in a folder before it, which counts"
            warnings.warn(message, stacklevel=2)
    if not runs:
        raise UserError(Problem("there are no runs yet", where=", ".join(folders)))
    return [row for alike in runs.values() for row in alike]


def _rows(folder: str, leave_out: Collection[str]) -> Iterator[Record]:
    for row in read_rows(folder, "runs", leave_out):
        row.update(neutral_columns(row))
        yield row
