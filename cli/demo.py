"""`petlsparse demo`."""

from pathlib import Path
from typing import Annotated

import typer

from . import _console
from ._options import Progress, ProgressStyle, Workers
from ._study import exit_code, show_results, train

RECIPES = ("dst-smoke", "adapter-smoke")


def demo(
    out: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results/demo"),
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
        _console.err.print(f"[bold]petlsparse {recipe.study} {recipe.name}[/]: {recipe.description}")
        summaries.append(train(recipe, out / recipe.name, workers=workers, progress=progress))
        if summaries[-1].interrupted:
            break
    for recipe, summary in zip(recipes, summaries, strict=False):
        show_results(recipe, out / recipe.name, summary, json=False)
    if code := max(map(exit_code, summaries)):
        raise typer.Exit(code)
