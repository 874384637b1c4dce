"""`petlsparse compare`."""

from enum import StrEnum
from typing import Annotated

import typer

from ._options import Json, Stores


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
    json: Json = False,
) -> None:
    """Compare the methods in one or several results folders: mean, interval and cost over seeds.

    Examples:
        petlsparse compare results/dst-smoke results/adapter-smoke
        petlsparse compare results/dst-smoke --format latex
    """
    from petlsparse.analysis.compare import compare as compare_runs
    from petlsparse.analysis.formats import FORMATS
    from petlsparse.analysis.load import load_runs

    from ._tables import print_comparisons

    comparisons = compare_runs(load_runs(stores))
    style = Format.json if json else format
    if style is Format.rich:
        print_comparisons(comparisons)
    else:
        typer.echo(FORMATS[style](comparisons), nl=False)
