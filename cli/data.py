"""`petlsparse data`: which data sets there are."""

import typer

from . import _console
from ._help import Command, Commands
from ._options import Json

HELP = """Say which data sets there are, and how to supply the others.

Examples:
    petlsparse data ls
"""

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
