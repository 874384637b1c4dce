"""The runs of one or several stores."""

import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from petlsparse.analysis.quantities import known
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
    content, statuses = fingerprints(runs), runs["status"]
    chosen: dict[str, list[int]] = {}
    unlike: dict[str, list[float | None]] = {}
    for number, run_id in enumerate(runs["run_id"]):
        same_id = chosen.setdefault(run_id, [])
        index = next((i for i, other in enumerate(same_id) if not differing(content[other], content[number])), None)
        if index is None:
            same_id.append(number)
        elif statuses[same_id[index]] not in FINAL:
            same_id[index] = number
        elif statuses[number] in FINAL and _unlike(runs, number, same_id[index]):
            unlike.setdefault(folder_of[number], []).append(_apart(runs, number, same_id[index]))
    for folder, apart in unlike.items():
        have = "1 run has" if len(apart) == 1 else f"{len(apart)} runs have"
        most = max((each for each in apart if each is not None), default=None)
        differ = "" if most is None else f"; test accuracies differ by {most:.3g} percentage points at most"
        message = f"{folder}: {have} other results here than in a folder before it, which counts{differ}"
        warnings.warn(message, stacklevel=2)
    if not runs:
        raise UserError(Problem("there are no runs yet", where=", ".join(folders)))
    return runs.take(number for same_id in chosen.values() for number in same_id)


def _unlike(runs: Runs, one: int, other: int) -> bool:
    columns = (runs.columns[name] for name in _RESULT if name in runs.columns)
    return any(values[one] != values[other] for values in columns)


def _apart(runs: Runs, one: int, other: int) -> float | None:
    """How far their test accuracies are apart, in percentage points; None where one of them has none."""
    found = [known(runs.columns["test_accuracy"][number]) for number in (one, other)]
    return None if found[0] is None or found[1] is None else abs(found[0] - found[1])


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
