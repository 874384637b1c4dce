"""Comparison tables in the terminal."""

from collections.abc import Sequence

from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from petlsparse.analysis.rows import Comparison
from petlsparse.analysis.table import Column, columns_of

from ._console import grid, out


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Each comparison's table as wide as the terminal allows, and its notes."""
    for comparison in comparisons:
        table, left_out = _fitted(columns_of(comparison))
        notes = list(comparison.notes)
        if left_out:
            notes.append(f"Left out here for width: {', '.join(left_out)}; --format csv has everything.")
        out.print(Text(comparison.study, style="bold"))
        out.print(table)
        out.print(Padding(Text("\n".join(notes), style="dim"), (0, 0, 1, 0)))


def _fitted(columns: list[Column]) -> tuple[Table, list[str]]:
    """A table that fits, and the headers of the columns that had to go, the most dispensable first."""
    left_out: list[str] = []
    while True:
        rows = zip(*(column.cells for column in columns), strict=True)
        headers = [column.header for column in columns]
        table = grid(headers, rows, right=[column.header for column in columns if column.numeric])
        dispensable = max(columns, key=lambda column: column.spare)
        wanted = Measurement.get(out, out.options.update(max_width=10_000), table).maximum
        if wanted <= out.width or dispensable.spare == 0:
            return table, left_out
        columns = [column for column in columns if column is not dispensable]
        left_out.append(dispensable.header)
