"""Whether two stores hold the same results: everything but times, memory, machine and the like."""

from __future__ import annotations

from pathlib import Path

from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import TABLES


def same_results(one: Store | Path | str, other: Store | Path | str) -> bool:
    """Whether all tables are equal, bit for bit and row for row, incidental columns aside."""
    return not differences(one, other)


def differences(one: Store | Path | str, other: Store | Path | str) -> list[str]:
    """What is different between two stores, one readable line per difference; empty when the results are equal."""
    found: list[str] = []
    for table in TABLES.values():
        left, right = (read_table(store, table.name) for store in (one, other))
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
                    found.append(f"{table.name}.{name}: {int(unequal.sum())} differ, first in row {row}: {values}")
    return found
