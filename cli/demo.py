"""`petlsparse demo`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from . import _console
from ._complete import RESULTS
from ._options import Json, Progress, ProgressStyle, Stale, StaleResults, Workers
from ._study import Ended, exit_code, recorded, show_results, train

RECIPES = ("dst-smoke", "adapter-smoke")


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the results folders of both.")
    ] = RESULTS,
    workers: Workers = None,
    stale: Stale = StaleResults.refuse,
    progress: Progress = ProgressStyle.auto,
    json: Json = False,
) -> None:
    """Run a small version of both studies on bundled data and weights, and compare. Takes a few minutes.

    The same command again continues where it stopped.

    Examples:
        petlsparse demo --workers 2
    """
    from petlsparse.recipe import load_recipe

    loaded = [load_recipe(name) for name in RECIPES]
    recipes = [replace(each, launch=each.launch.overridden({"workers": workers})) for each in loaded]
    ended: list[Ended] = []
    for recipe in recipes:
        command = f"petlsparse {recipe.study} {recipe.name}"
        _console.err.print(Text.assemble((command, "bold"), f": {recipe.description}"), soft_wrap=True)
        ended.append(train(recipe, out / recipe.name, progress=progress, stale=stale))
        if ended[-1].summary.interrupted:
            break
    if json:
        _console.print_json([record for each in ended for record in recorded(each)])
    else:
        for each in ended:
            show_results(each, json=False)
    if code := max(exit_code(each.summary) for each in ended):
        raise typer.Exit(code)
