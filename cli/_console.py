"""What the commands write with: results on stdout, progress and errors on stderr."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from petlsparse.errors import UserError

PIPE_WIDTH = 120


def _console(stderr: bool) -> Console:
    """A console as wide as the terminal; `COLUMNS`, or else 120, in a pipe. Text is printed as it stands."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


out = _console(stderr=False)
err = _console(stderr=True)


def report(error: UserError) -> None:
    """One message for everything that is wrong, on stderr, as it stands: no markup, no wrapping."""
    label = Text("error: ", style="bold red")
    for problem in error.problems:
        err.print(label + Text(str(problem)), soft_wrap=True)


def warn(message: str) -> None:
    """A remark that does not stop anything, on stderr."""
    err.print(Text("note: ", style="bold yellow") + Text(message), soft_wrap=True)


def print_json(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """JSON on stdout, for programs."""
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False, default=str))


def grid(headers: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> Table:
    """A plain table; columns named in `right` are numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for header in headers:
        number = header in right
        table.add_column(header, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table
