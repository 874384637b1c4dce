"""`petlsparse data`: which data sets there are."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from . import _console
from ._data_settings import (
    Background,
    DataCommand,
    ImageColumn,
    ImageFit,
    ImageSize,
    LabelColumn,
    TestFraction,
    ValFraction,
    naming_flags,
    settings,
)
from ._help import Command, Commands
from ._options import Json

if TYPE_CHECKING:
    from petlsparse.data.description import DatasetDescription
    from petlsparse.data.types import Dataset

HELP = """Say which data sets there are, what they hold, and how to supply the others.

Examples:
    petlsparse data ls
    petlsparse data show digits
"""

SHOWN = 40
"""Classes in the table of `data show`; all of them as JSON."""

app = typer.Typer(cls=Commands, help=HELP, no_args_is_help=True)


@app.command(cls=Command)
def ls(json: Json = False) -> None:
    """List the data sets by name, with where they were found or how to supply them.

    Examples:
        petlsparse data ls
    """
    from dataclasses import asdict

    from petlsparse.data import inventory

    rows = inventory()
    if json:
        _console.print_json([asdict(row) for row in rows])
        return
    numbers = ["train", "val", "test", "classes"]
    table = _console.grid(
        ["name", "found", *numbers, "shape"],
        [
            (
                row.name,
                row.source if row.found else "no",
                *(row.examples or ("", "", "")),
                row.classes or "",
                "×".join(map(str, row.shape or ())),
            )
            for row in rows
        ],
        right=numbers,
    )
    _console.out.print(table)
    for row in rows:
        if row.found and row.path:
            _console.out.print(f"{row.name}: {row.path}", style="dim", soft_wrap=True)
        elif not row.found:
            _console.out.print(f"{row.name} is not here:", *(f"\n  {way}" for way in row.how_to_supply), soft_wrap=True)


@app.command(cls=DataCommand)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a data set, such as folder:NAME.")],
    image_size: ImageSize = None,
    image_fit: ImageFit = None,
    background: Background = None,
    val_fraction: ValFraction = None,
    test_fraction: TestFraction = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    json: Json = False,
) -> None:
    """Show what a data set holds: classes, parts and where they come from, files that are odd or not used.

    It is read as for a recipe whose `data` have these settings.

    Examples:
        petlsparse data show digits
        petlsparse data show folder:pets --test-fraction 0.3 --json
    """
    from petlsparse.data.description import describe_dataset
    from petlsparse.data.loading import load_data

    asked = settings(
        name,
        image_size=image_size,
        image_fit=image_fit,
        background=background,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        image_column=image_column,
        label_column=label_column,
    )
    with naming_flags(), _console.err.status("reading images ..."):
        data = load_data(**asked)
        found = describe_dataset(data)
    if json:
        _console.print_json(_described(data, found))
    else:
        _print(data, found)


def _described(data: "Dataset", found: "DatasetDescription") -> dict[str, Any]:
    from dataclasses import asdict

    from petlsparse.data.description import remarks, validation_error

    return {
        "name": data.name,
        "classes": data.classes,
        **asdict(found),
        "validation_standard_error": validation_error(len(data.val)),
        "fingerprint": data.fingerprint,
        "test_fingerprint": data.test_fingerprint,
        "remarks": remarks(data),
    }


def _print(data: "Dataset", found: "DatasetDescription") -> None:
    from petlsparse.data.description import few, summary, validation_error, validation_remark

    def say(text: str) -> None:
        _console.out.print(Text(text))

    say(summary(data))
    for part, words in found.made.items():
        say(f"  {part}: {words}")
    parts = list(found.counts)
    counts = list(zip(found.class_names, *found.counts.values(), strict=True))
    _console.out.print(_console.grid(["class", *parts], counts[:SHOWN], right=parts))
    if len(counts) > SHOWN:
        say(f"... and {len(counts) - SHOWN} more classes; --json lists all")
    for heading, numbers in (("sizes", found.sizes), ("modes", found.modes), ("done", found.done)):
        if numbers:
            say(f"{heading}: {few(tuple(f'{what} ({number:,})' for what, number in numbers.items()), 6)}")
    for why, paths in found.skipped.items():
        say(f"{len(paths)} skipped, {why}: {few(paths)}")
    error = validation_error(len(data.val))
    say(f"validation accuracy: standard error of up to {error:.1f} points")
    for remark in filter(None, (*found.oddities(), validation_remark(len(data.val)))):
        _console.warn(remark)
