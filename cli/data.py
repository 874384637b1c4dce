"""`petlsparse data`: which data sets there are."""

import typer

from . import _console
from ._options import Json

app = typer.Typer(help="Say which data sets there are, and how to supply the others.", no_args_is_help=True)


@app.command()
def ls(json: Json = False) -> None:
    """List the data sets by name, with where they were found or how to supply them."""
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
