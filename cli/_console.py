"""What the commands write with: results on stdout, progress and errors on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.color import ColorSystem
from rich.console import Console
from rich.table import Table
from rich.text import Text

from petlsparse.errors import UserError

from ._streams import SPELLING

PIPE_WIDTH = 120


class Terminal(Console):
    """A console whose text is printed as it stands; as wide as the terminal, and `COLUMNS`, or else 120, in a pipe."""

    def __init__(self, *, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            if os.environ.get("FORCE_COLOR") and "NO_COLOR" not in os.environ:
                self._color_system = ColorSystem.STANDARD
            if "COLUMNS" not in os.environ:
                self.width = PIPE_WIDTH

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks. FORCE_COLOR asks for colours in a file, not for bars that move."""
        try:
            return self.file.isatty()
        except ValueError:  # closed
            return False

    @property
    def moves(self) -> bool:
        """Whether what is printed can be overwritten."""
        return self.is_terminal and not self.is_dumb_terminal


for _name in ("COLUMNS", "LINES"):
    if not os.environ.get(_name, "").lstrip("0").isdecimal():  # "0", "abc": no size, and rich would take it for one
        os.environ.pop(_name, None)

out = Terminal(stderr=False)
err = Terminal(stderr=True)


def write(text: str) -> None:
    """Text on stdout, just as it is."""
    sys.stdout.write(text)


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
    text = json.dumps(rows, indent=2, ensure_ascii=False, default=str)
    try:
        text.encode(out.encoding)
    except UnicodeEncodeError:  # an encoding other than UTF-8, or a file name that is no text
        text = json.dumps(rows, indent=2, default=str)
    write(text + "\n")


def grid(headers: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> Table:
    """A plain table; columns named in `right` are numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for header in headers:
        number = header in right
        table.add_column(spelt(header), justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(spelt(str(cell))) for cell in row))
    return table


def spelt(text: str) -> str:
    """The text as stdout will show it, before a table is laid out around it."""
    return text.encode(out.encoding, SPELLING).decode(out.encoding, "surrogateescape")
