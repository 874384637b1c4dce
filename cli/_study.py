"""What both study commands do: plan, train what is missing, compare."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from petlsparse.errors import Problem, UserError

from . import _console
from ._options import (
    Axes,
    Device,
    DryRun,
    Fresh,
    Json,
    Limit,
    Out,
    PerGpu,
    Progress,
    ProgressStyle,
    Recipe,
    Retry,
    Seeds,
    Sets,
    Workers,
)
from .plan import default_out, show_plan

if TYPE_CHECKING:
    from petlsparse.analysis.rows import Record
    from petlsparse.launch.events import Summary
    from petlsparse.recipe import Recipe as LoadedRecipe
    from petlsparse.tracking.store import Store


def study_command(study: str, text: str) -> Callable[..., None]:
    """The command of one study, `text` its help."""

    def command(
        recipe: Recipe,
        out: Out = None,
        sets: Sets = None,
        axes: Axes = None,
        seeds: Seeds = None,
        device: Device = "auto",
        workers: Workers = None,
        per_gpu: PerGpu = None,
        retry: Retry = None,
        limit: Limit = None,
        fresh: Fresh = False,
        dry_run: DryRun = False,
        progress: Progress = ProgressStyle.auto,
        json: Json = False,
    ) -> None:
        from petlsparse.recipe import load_recipe
        from petlsparse.studies import names

        loaded = load_recipe(recipe, sets=sets or (), axes=axes or (), seeds=seeds, names=names(), study=study)
        folder = out or default_out(loaded)
        if dry_run:
            show_plan(loaded, folder, device, workers, per_gpu, probe=False, json=json)
            return
        if fresh:
            set_aside(folder)
        summary = train(loaded, folder, device, workers, per_gpu, retry, limit, progress)
        show_results(loaded, folder, summary, json=json)
        if code := exit_code(summary):
            raise typer.Exit(code)

    command.__doc__ = text
    return command


def train(
    recipe: "LoadedRecipe",
    folder: Path,
    device: str = "auto",
    workers: int | None = None,
    per_gpu: int | None = None,
    retry: int | None = None,
    limit: int | None = None,
    progress: ProgressStyle = ProgressStyle.auto,
) -> "Summary":
    """Bring the recipe's runs to a result in the store at `folder`, showing progress."""
    from petlsparse.analysis.arms import run_labels
    from petlsparse.launch.plan import execute_plan
    from petlsparse.studies import STUDIES
    from petlsparse.tracking.store import Store

    from ._progress import shown

    preflight(recipe, Store(folder))
    store = Store.create(folder)
    with shown(progress, run_labels(recipe.runs)) as listener:
        return execute_plan(
            recipe,
            store,
            studies=STUDIES,
            device=device,
            workers=workers,
            per_gpu=per_gpu,
            retry=retry,
            limit=limit,
            on_event=listener,
        )


def preflight(recipe: "LoadedRecipe", store: "Store") -> None:
    """What cannot work is one message now, not a failure of every run later."""
    from petlsparse.studies import check

    known = store.run_ids() if (store.path / "runs").is_dir() else []
    with _console.err.status("looking at data and models ..."):
        check(run for run in recipe.runs if run.run_id not in known)


def show_results(recipe: "LoadedRecipe", folder: Path, summary: "Summary", *, json: bool) -> None:
    """The runs as JSON, or the comparison and what was written where."""
    records = recorded(recipe, folder, summary)
    if json:
        _console.print_json(records)
        return
    if records:
        from petlsparse.analysis.compare import compare

        from ._tables import print_comparisons

        print_comparisons(compare(records))
    counts = ", ".join(f"{n} {status}" for status, n in summary.counts.items())
    _console.out.print(f"{len(recipe.runs)} runs: {counts}")
    for path in sorted(folder.glob("*.parquet")):
        _console.out.print(f"  {path}", style="dim", highlight=False)
    if summary.counts["failed"]:
        _console.warn(f"petlsparse show RUN_ID --log --out {folder} tells why a run failed")
    if summary.interrupted:
        _console.warn("interrupted; the same command again continues")


def recorded(recipe: "LoadedRecipe", folder: Path, summary: "Summary") -> list["Record"]:
    """The rows of this recipe's runs, not of others that the store may hold."""
    from petlsparse.analysis.load import load_runs

    wanted = {run.run_id for run in recipe.runs}
    if set(summary.statuses.values()) <= {"pending"}:
        return []
    return [record for record in load_runs([folder]) if record["run_id"] in wanted]


def exit_code(summary: "Summary") -> int:
    """0 all done, 1 some run failed, 130 interrupted."""
    if summary.interrupted:
        return 130
    return int(summary.counts["failed"] > 0)


def set_aside(folder: Path) -> None:
    """Rename a store, so that the command starts anew and nothing is lost."""
    from petlsparse.tracking.store import Store

    if not folder.exists():
        return
    aside = folder.with_name(f"{folder.name}.before-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    with Store.open(folder).lock(wait=0):
        try:
            folder.rename(aside)
        except OSError as error:
            raise UserError(Problem(f"cannot be set aside: {error.strerror}", where=str(folder))) from error
    _console.warn(f"earlier results are in {aside}")
