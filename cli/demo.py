"""`petlsparse demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from . import _console
from ._complete import RESULTS
from ._options import Progress, ProgressStyle, Workers
from ._study import exit_code, show_results, train

RECIPES = ("dst-smoke", "adapter-smoke")


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results folders of both.")] = RESULTS,
    workers: Workers = None,
    progress: Progress = ProgressStyle.auto,
) -> None:
    """Run a small version of both studies on bundled data and weights, and compare. Takes a few minutes.

    The same command again continues where it stopped.
    """
    from petlsparse.recipe import load_recipe
    from petlsparse.studies import names

    recipes = [load_recipe(name, names=names()) for name in RECIPES]
    summaries = []
    for recipe in recipes:
        command = f"petlsparse {recipe.study} {recipe.name}"
        _console.err.print(Text.assemble((command, "bold"), f": {recipe.description}"), soft_wrap=True)
        summaries.append(train(recipe, out / recipe.name, workers=workers, progress=progress))
        if summaries[-1].interrupted:
            break
    for recipe, summary in zip(recipes, summaries, strict=False):
        show_results(recipe, out / recipe.name, summary, json=False)
    if code := max(map(exit_code, summaries)):
        raise typer.Exit(code)
