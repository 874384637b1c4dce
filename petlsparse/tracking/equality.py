"""Whether two stores hold the same results: everything but times, memory, machine, the order of runs and the like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd


def same_results(one: Store | Path | str, other: Store | Path | str) -> bool:
    """Whether all runs are equal, bit for bit and row for row, incidental columns aside."""
    return not differences(one, other)


def differences(one: Store | Path | str, other: Store | Path | str) -> list[str]:
    """What is different between two stores, one readable line per difference; empty when the results are equal."""
    found: list[str] = []
    for table in TABLES.values():
        left, right = (_by_run(store, table.name) for store in (one, other))
        names = [name for name in left.columns if name not in table.incidental]
        if set(left.columns) != set(right.columns):
            found.append(f"{table.name}: other columns: {sorted(set(left.columns) ^ set(right.columns))}")
        elif len(left) != len(right):
            found.append(f"{table.name}: {len(left)} rows and {len(right)} rows")
        else:
            for name in names:
                unequal = ~((left[name] == right[name]) | (left[name].isna() & right[name].isna()))
                if unequal.any():
                    row = int(unequal.to_numpy().argmax())
                    values = f"{left[name][row]} and {right[name][row]}"
                    run_id = left["run_id"][row]
                    found.append(f"{table.name}.{name}: {int(unequal.sum())} differ, first of run {run_id}: {values}")
    return found


def _by_run(store: Store | Path | str, name: str) -> pd.DataFrame:
    """A table whose runs are in the order of their ids; the rows of a run stay in theirs."""
    return read_table(store, name).sort_values("run_id", kind="stable", ignore_index=True)
