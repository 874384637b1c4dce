"""Comparison tables in the terminal."""

from collections.abc import Sequence

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from petlsparse.analysis.rows import Comparison
from petlsparse.analysis.table import Column, columns_of

from ._console import grid, out


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Each comparison's table, as much of it as the terminal has room for, and its notes."""
    for comparison in comparisons:
        columns = columns_of(comparison)
        shown = _fitting(columns)
        notes = list(comparison.notes)
        if missing := [column.header for column in columns if column not in shown]:
            notes.append(f"No room here for {', '.join(missing)}; --format csv has everything.")
        out.print(Text(comparison.study, style="bold"))
        out.print(_table(shown))
        out.print(Text("\n".join(notes), style="dim"))
        out.print()


def _fitting(columns: Sequence[Column]) -> list[Column]:
    """The columns that must be shown, and of the others, the most important first, those that still fit."""
    shown = [column for column in columns if not column.spare]
    for column in sorted(columns, key=lambda column: column.spare):
        more = [each for each in columns if each in shown or each is column]
        if Measurement.get(out, out.options.update(max_width=10_000), _table(more)).maximum <= out.width:
            shown = more
    return shown


def _table(columns: Sequence[Column]) -> Table:
    rows = zip(*(column.cells for column in columns), strict=True)
    numbers = [column.header for column in columns if column.numeric]
    return grid([column.header for column in columns], rows, right=numbers)
