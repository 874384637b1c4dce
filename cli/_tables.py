"""Comparison tables in the terminal."""

from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from petlsparse.analysis.comparison import Comparison
from petlsparse.analysis.table import TextColumn, text_columns

from ._console import grid, out


def print_comparisons(comparisons: Sequence[Comparison], most: int | None = None, all_of_them: str = "") -> None:
    """Each comparison's table, as much of it as the terminal has room for, and its notes.

    Of a long one the first `most` rows; `all_of_them` is the command that shows the others.
    """
    for comparison in comparisons:
        rows = comparison.rows[:most]
        table, missing = fitted(text_columns(replace(comparison, rows=rows)))
        notes = list(comparison.notes)
        if len(rows) < len(comparison.rows):
            notes.append(f"The first {len(rows):,} of {len(comparison.rows):,} rows; {all_of_them} shows all.")
        if missing:
            notes.append(f"No room here for {', '.join(missing)}; --format csv has everything.")
        out.print(Text(comparison.title, style="bold"))
        out.print(table)
        out.print(Text("\n".join(notes), style="dim"))
        out.print()


def fitted(columns: Sequence[TextColumn]) -> tuple[Table, list[str]]:
    """A table of the columns that must be shown and, the most important first, of others while they fit.

    Also the headers of those that do not.
    """
    widest = [replace(column, cells=(max(column.cells, key=cell_len, default=""),)) for column in columns]

    def fits(ats: Sequence[int]) -> bool:
        table = _table([widest[at] for at in ats])
        return Measurement.get(out, out.options.update(max_width=10_000), table).maximum <= out.width

    shown = [at for at, column in enumerate(columns) if not column.drop_order]
    for at in sorted(range(len(columns)), key=lambda at: columns[at].drop_order):
        if fits(more := sorted({*shown, at})):
            shown = more
    chosen = [columns[at] for at in shown]
    if fits(shown) and not any("\n" in cell for column in chosen for cell in column.cells):
        # No cell takes more than a line: one row of many lines looks the same, and is laid out three times as fast.
        chosen = [replace(column, cells=("\n".join(column.cells),)) for column in chosen]
    return _table(chosen), [c.header for at, c in enumerate(columns) if at not in shown]


def _table(columns: Sequence[TextColumn]) -> Table:
    rows = zip(*(column.cells for column in columns), strict=True)
    numbers = [column.header for column in columns if column.numeric]
    return grid([column.header for column in columns], rows, right=numbers)
