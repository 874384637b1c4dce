"""`petlsparse recipes`: list, show, copy and validate recipes."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petlsparse.errors import Problem, UserError, unknown_name

from . import _console
from ._complete import recipe_names
from ._help import Command, Commands
from ._options import Json

HELP = """List, show, copy and validate recipes.

Examples:
    petlsparse recipes ls
    petlsparse recipes copy dst-smoke mine.toml
"""

if TYPE_CHECKING:
    from petlsparse.recipe import Recipe

app = typer.Typer(cls=Commands, help=HELP, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a shipped recipe.", autocompletion=recipe_names)]


@app.command(cls=Command)
def ls(json: Json = False) -> None:
    """List the shipped recipes.

    Examples:
        petlsparse recipes ls
    """
    from petlsparse.recipe import load_recipe, shipped_recipes

    recipes = [load_recipe(name) for name in sorted(shipped_recipes())]
    rows = [{"name": r.name, "study": r.study, "runs": len(r.runs), "description": r.description} for r in recipes]
    if json:
        _console.print_json(rows)
    else:
        _console.out.print(_console.grid(list(rows[0]), [list(row.values()) for row in rows], right=["runs"]))


@app.command(cls=Command)
def show(name: Name) -> None:
    """Print a shipped recipe; its head says where it comes from, how long it takes and what it gives.

    Examples:
        petlsparse recipes show dst-smoke
    """
    _console.write(_shipped(name).read_text(encoding="utf-8"))


@app.command(cls=Command)
def copy(
    name: Name,
    to: Annotated[Path, typer.Argument(metavar="PATH", help="File or folder to copy to.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a shipped recipe, to make it your own.

    Examples:
        petlsparse recipes copy dst-smoke mine.toml
    """
    source = _shipped(name)
    target = to / source.name if to.is_dir() else to
    if target.exists() and not force:
        raise UserError(Problem("the file exists; --force replaces it", where=str(target)))
    if not target.parent.is_dir():
        raise UserError(Problem("no such folder", where=str(target.parent)))
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise UserError(Problem(f"cannot be written: {error.strerror or error}", where=str(target))) from error
    _console.write(f"{target}\n")


@app.command(cls=Command)
def validate(
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Names or files.", autocompletion=recipe_names)
    ],
    json: Json = False,
) -> None:
    """Check recipes as a study command does before it trains, weights aside; tells all problems of all of them.

    Examples:
        petlsparse recipes validate dst-smoke adapter-smoke
    """
    from petlsparse.analysis.quantities import counted
    from petlsparse.recipe import load_recipe

    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for reference in recipes:
        try:
            recipe = load_recipe(reference)
            unchecked = _tried(recipe)
        except UserError as error:
            problems += error.problems
        else:
            rows.append({"name": recipe.name, "study": recipe.study, "runs": len(recipe.runs), "unchecked": unchecked})
    if json:
        _console.print_json(rows)
    else:
        for row in rows:
            _console.out.print(f"ok: {row['name']}, {counted(row['runs'], 'run')} of {row['study']}")
    if problems:
        raise UserError(*problems)


def _tried(recipe: "Recipe") -> int:
    """Assemble the recipe's runs, with random weights; how many lack their data. Raises UserError with all problems."""
    from petlsparse.searches.search import search_of
    from petlsparse.studies import check_runs

    next(search_of(recipe))
    with _console.err.status("looking at data and models ..."):
        found = check_runs({run.run_id: run for run in recipe.runs}, weights=False).problems
    absent = {run_id: problem for run_id, each in found.items() for problem in each if problem.absent}
    wrong = [recipe.locate(problem, run_id) for run_id, each in found.items() for problem in each if not problem.absent]
    if absent:
        _console.warn(
            f"{recipe.name}: {len(absent)} of {len(recipe.runs)} runs were checked by their settings alone, "
            "not whether network, densities, edges and sizes go with the data:"
        )
        for problem in dict.fromkeys(absent.values()):
            _console.err.print(f"  {problem}", soft_wrap=True)
    backbones = {run.backbone.name for run in recipe.runs if run.study == "adapter-search" and run.backbone.pretrained}
    if foreign := sorted(backbones - {"vit-micro"}):
        _console.warn(f"{recipe.name}: not checked: the weights of {', '.join(foreign)}")
    if wrong:
        raise UserError(*dict.fromkeys(wrong))
    return len(absent)


def _shipped(name: str) -> Path:
    from petlsparse.recipe import shipped_recipes

    recipes = shipped_recipes()
    if name not in recipes:
        raise UserError(unknown_name("recipe", name, sorted(recipes)))
    return recipes[name]
