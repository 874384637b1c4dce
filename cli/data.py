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
    table = _console.grid(
        ["name", "found", "examples", "classes", "shape", "where"],
        [
            (
                row.name,
                row.source if row.found else "no",
                row.examples or "–",
                row.classes or "–",
                "×".join(map(str, row.shape or ())) or "–",
                row.path or row.how_to_supply or "",
            )
            for row in rows
        ],
        right=["examples", "classes"],
    )
    _console.out.print(table)
