"""`petlsparse compare`."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petlsparse.errors import UserError, unknown_name

from . import _console
from ._options import Check, Json, Metric, Stores
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
    metric: Metric = "accuracy",
    check: Check = False,
    json: Json = False,
) -> None:
    """Compare the methods in one or several results folders: mean, interval and cost over seeds.

    Runs that rest on different data or weights are rows of their own.

    Examples:
        petlsparse compare results/dst-smoke results/adapter-smoke
        petlsparse compare results/dst-smoke --format latex
        petlsparse compare results/dst-smoke --metric macro_f1
    """
    from petlsparse.analysis.compare import compare as compare_runs
    from petlsparse.analysis.comparison import UNREAD, scores_of
    from petlsparse.analysis.formats import FORMATS
    from petlsparse.analysis.load import load_runs
    from petlsparse.tracking.tables import MEASURES

    from ._tables import print_comparisons

    if metric not in MEASURES:
        raise UserError(unknown_name("metric", metric, MEASURES, "--metric"))
    runs = load_runs(stores, leave_out=UNREAD.difference(scores_of(metric)))
    comparisons = compare_runs(runs, looked_at(recorded(stores)) if check else {}, metric)
    style = Format.json if json else format
    if style is Format.rich:
        print_comparisons(comparisons)
    else:
        _console.write(FORMATS[style](comparisons))


def recorded(stores: Iterable[Path]) -> "Iterator[Record]":
    """The records of all runs; tables may stand without them."""
    from petlsparse.tracking.store import Store

    return (record for folder in stores for record in Store.open(folder).records())
