"""`petlsparse score`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from petlsparse.errors import UserError, unknown_name

from . import _console
from ._complete import score_names
from ._options import (
    Axes,
    Device,
    Fresh,
    Json,
    Out,
    Progress,
    ProgressStyle,
    Recipe,
    Seeds,
    Sets,
    Stale,
    StaleResults,
    Workers,
)

if TYPE_CHECKING:
    from petlsparse.analysis.score_maps import ScoreMap

TOP = 10
"""Edges that are listed below a map."""

COLOURS = ("#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c", "#fde725")
"""From the lowest level to the highest: viridis, which those who see few colours can read, too."""


def score(
    recipe: Recipe,
    scores: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="NAME", help="A score, such as srank; repeatable.", autocompletion=score_names),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=0, help="Edges listed below each map.")] = TOP,
    out: Out = None,
    sets: Sets = None,
    axes: Axes = None,
    seeds: Seeds = None,
    device: Device = "auto",
    workers: Workers = None,
    fresh: Fresh = False,
    stale: Stale = StaleResults.refuse,
    progress: Progress = ProgressStyle.auto,
    json: Json = False,
) -> None:
    """Score all places for adapters in the recipe's backbones, on its data, without training one.

    From one forward and one backward pass over training images. Of a recipe with arms of kind score, those; of any
    other, its data and backbones, by srank unless --score names others.

    Examples:
        petlsparse score adapter-smoke
        petlsparse score adapter-smoke --score srank --score page --seeds 3
    """
    from petlsparse.analysis.load import load_runs
    from petlsparse.analysis.score_maps import score_maps
    from petlsparse.recipe import load_recipe
    from petlsparse.recipe.scoring import to_be_scored
    from petlsparse.registry import is_file
    from petlsparse.scores import SCORES
    from petlsparse.tracking.snapshot import Snapshot

    from ._study import exit_code, first_failure, train

    for name in scores or ():
        if name not in SCORES and not is_file(name):
            raise UserError(unknown_name("score", name, SCORES, "--score"))
    loaded = load_recipe(
        recipe,
        sets=sets or (),
        axes=axes or (),
        seeds=seeds,
        study="adapter-search",
        rewrite=partial(to_be_scored, scores=scores or ()),
    )
    if workers is not None:
        from dataclasses import replace

        loaded = replace(loaded, launch=loaded.launch.overridden({"workers": workers}))
    folder = out or Path("results") / f"{loaded.name}-scores"
    ended = train(loaded, folder, device=device, progress=progress, fresh=fresh, stale=stale)
    seen = Snapshot.of(folder)
    maps = score_maps(seen, load_runs([seen]).where("run_id", ended.summary.statuses))
    if json:
        _console.print_json([as_json(each) for each in maps])
    else:
        for each in maps:
            print_map(each, top)
        _console.out.print(f"  {folder / 'edges.parquet'}", style="dim")
    if failed := [run_id for run_id, status in ended.summary.statuses.items() if status == "failed"]:
        _console.warn(first_failure(folder, failed))
    if code := exit_code(ended.summary):
        raise typer.Exit(code)


def print_map(scored: "ScoreMap", top: int) -> None:
    """A score's map and its best edges."""
    from petlsparse.analysis.quantities import counted, duration
    from petlsparse.analysis.score_maps import heat_map

    about = scored.about
    title = f"{scored.score} of {about['backbone_name']} on {about['data_name']}"
    _console.out.print(Text(title, style="bold"))
    shown = heat_map(scored.values, _console.out.width)
    _console.out.print(Text("reads, down; is added to, across", style="dim"))
    _console.out.print(_table(shown.labels, shown.levels))
    images = f"{about['method_scoring_images']:,} images at most, {about['method_scoring_head']} head"
    of_gradient = f"gradient of the {'linear map' if about['method_scoring_gradient'] == 'linear' else 'bottleneck'}"
    pooled = f", a cell the best of {shown.pool} x {shown.pool} edges" if shown.pool > 1 else ""
    agreement = f", rank correlation between seeds {scored.agreement:.2f}" if scored.agreement is not None else ""
    took = f", {duration(scored.seconds)} for all scores of a seed" if scored.seconds is not None else ""
    note = (
        f"0 is {shown.low:.4g}, 9 is {shown.high:.4g}{pooled}; {images}, {of_gradient}; "
        f"{counted(scored.seeds, 'seed')}{agreement}{took}."
    )
    _console.out.print(Text(note, style="dim"))
    rows = [(str(edge), edge.kind, f"{value:.4g}") for edge, value in scored.ranked()[:top]]
    if rows:
        _console.out.print(_console.grid(("edge", "kind", scored.score), rows, right=(scored.score,)))
    _console.out.print()


def _table(labels: list[str], levels: list[list[int]]) -> Table:
    """Cells in colour, with their level for those who see none."""
    table = Table.grid(padding=(0, 0, 0, 1))
    for _ in range(len(labels) + 1):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("", *labels)
    for label, row in zip(labels, levels, strict=True):
        table.add_row(label, *(Text(str(level), style=f"on {COLOURS[level]} {_ink(level)}") for level in row))
    return table


def _ink(level: int) -> str:
    return "white" if level < len(COLOURS) // 2 else "black"


def as_json(scored: "ScoreMap") -> dict[str, object]:
    """A map for programs."""
    return {
        "score": scored.score,
        **scored.about,
        "seeds": scored.seeds,
        "agreement": scored.agreement,
        "seconds": scored.seconds,
        "values": scored.values,
        "edges": [[edge.source, edge.target] for edge, _ in scored.ranked()],
    }
