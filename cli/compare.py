"""`petlsparse compare`."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _console
from ._options import Check, Json, Stores
from ._stale import looked_at

if TYPE_CHECKING:
    from petlsparse.tracking.record import Record


class Format(StrEnum):
    """How to write the table."""

    rich = "rich"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


def compare(
    stores: Stores,
    format: Annotated[  # noqa: A002
        Format,
        typer.Option("--format", metavar="rich|markdown|latex|csv|json", help="How to write the table."),
    ] = Format.rich,
    check: Check = False,
    json: Json = False,
) -> None:
    """Compare the methods in one or several results folders: mean, interval and cost over seeds.

    Runs that rest on different data or weights are rows of their own.

    Examples:
        petlsparse compare results/dst-smoke results/adapter-smoke
        petlsparse compare results/dst-smoke --format latex
    """
    from petlsparse.analysis.compare import compare as compare_runs
    from petlsparse.analysis.formats import FORMATS
    from petlsparse.analysis.load import load_runs
    from petlsparse.analysis.rows import UNREAD

    from ._tables import print_comparisons

    comparisons = compare_runs(load_runs(stores, leave_out=UNREAD), looked_at(recorded(stores)) if check else {})
    style = Format.json if json else format
    if style is Format.rich:
        print_comparisons(comparisons)
    else:
        _console.write(FORMATS[style](comparisons))


def recorded(stores: Iterable[Path]) -> "Iterator[Record]":
    """The records of all runs; tables may stand without them."""
    from petlsparse.tracking.store import Store

    return (record for folder in stores for record in Store.open(folder).records())
