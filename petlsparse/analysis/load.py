"""The runs of one or several stores."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from petlsparse.analysis.runs import Runs
from petlsparse.analysis.staleness import fingerprints
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.schema import TAGS, neutral_columns, tag_key
from petlsparse.tracking.compaction import read_columns
from petlsparse.tracking.fingerprints import differing
from petlsparse.tracking.record import FINAL
from petlsparse.tracking.snapshot import Snapshot
from petlsparse.tracking.tables import METRIC_COLUMNS

_RESULT = frozenset(("status", *(column.name for column in METRIC_COLUMNS)))


def load_runs(stores: Iterable[Snapshot | Path | str], leave_out: Collection[str] = ()) -> Runs:
    """Every run of every store once, in order; of runs in several stores, the first that has a result.

    They lack the columns that are to be left out, unless it takes them to hold runs of several stores together.

    Where such runs rest on different content, all of them. Where they do not and yet have other results, a warning
    says so. Raises UserError for a folder that is not a store, or when there is no run at all.
    """
    seen = {str(each.store.path): each for each in map(Snapshot.of, stores)}
    folders = list(seen)
    if len(folders) > 1:
        leave_out = set(leave_out) - _RESULT
    tables = [_columns(each, leave_out) for each in seen.values()]
    folder_of = [folder for folder, table in zip(folders, tables, strict=True) for _ in table["run_id"]]
    runs = Runs.concatenated(tables)
    known, statuses = fingerprints(runs), runs["status"]
    chosen: dict[str, list[int]] = {}
    unlike: Counter[str] = Counter()
    for number, run_id in enumerate(runs["run_id"]):
        same_id = chosen.setdefault(run_id, [])
        index = next((i for i, other in enumerate(same_id) if not differing(known[other], known[number])), None)
        if index is None:
            same_id.append(number)
        elif statuses[same_id[index]] not in FINAL:
            same_id[index] = number
        elif statuses[number] in FINAL:
            unlike[folder_of[number]] += _unlike(runs, number, same_id[index])
    for folder, count in unlike.items():
        if count:
            message = f"{folder}: {count} runs have other results here than in a folder before it, which counts"
            warnings.warn(message, stacklevel=2)
    if not runs:
        raise UserError(Problem("there are no runs yet", where=", ".join(folders)))
    return runs.take(number for same_id in chosen.values() for number in same_id)


def _unlike(runs: Runs, one: int, other: int) -> bool:
    columns = (runs.columns[name] for name in _RESULT if name in runs.columns)
    return any(values[one] != values[other] for values in columns)


def _columns(seen: Snapshot, leave_out: Collection[str]) -> dict[str, list[Any]]:
    """The columns of the `runs` table, with the settings that were added after runs had been stored."""
    columns = read_columns(seen, "runs", leave_out)
    kinds = ["study", *(tag_key(table).replace(".", "_") for table in TAGS)]
    runs = Runs(columns, range(len(columns["run_id"])))
    for values, rows in runs.split_by(*kinds).items():
        for name, value in neutral_columns(dict(zip(kinds, values, strict=True))).items():
            column = columns.setdefault(name, [None] * len(runs))
            for index in rows.indices:
                if column[index] is None:
                    column[index] = value
    return columns
