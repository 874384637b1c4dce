"""What both study commands do: plan, train what is missing, compare."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from petlsparse.errors import Problem, UserError

from . import _console
from ._options import (
    Axes,
    Backend,
    CacheMemory,
    Cohort,
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
    Stale,
    StaleResults,
    Workers,
)
from ._stale import decide
from ._survey import Survey, survey
from .plan import default_out, show_plan, slots_of

if TYPE_CHECKING:
    from petlsparse.analysis.runs import Runs
    from petlsparse.launch.events import CommandSummary
    from petlsparse.recipe import Recipe as LoadedRecipe
    from petlsparse.tracking.record import Record as RunRecord
    from petlsparse.tracking.store import Store


MOST_ROWS = 500
"""Of a comparison at the end of a command: who trained more configurations wants them in order, or in a file."""


def study_command(study: str | None, text: str) -> Callable[..., None]:
    """The command of one study, or of whichever a recipe belongs to; `text` is its help."""

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
        backend: Backend = None,
        cache_memory: CacheMemory = None,
        cohort: Cohort = None,
        limit: Limit = None,
        fresh: Fresh = False,
        stale: Stale = StaleResults.refuse,
        dry_run: DryRun = False,
        progress: Progress = ProgressStyle.auto,
        json: Json = False,
    ) -> None:
        from petlsparse.recipe import load_recipe
        from petlsparse.recipe.sizes import read_size

        loaded = load_recipe(recipe, sets=sets or (), axes=axes or (), seeds=seeds, study=study)
        folder = out or default_out(loaded)
        flags = {
            "workers": workers,
            "per_gpu": per_gpu,
            "retry": retry,
            "backend": backend and backend.value,
            "cache_memory": None if cache_memory is None else read_size("--cache-memory", cache_memory),
            "cohort": cohort,
        }
        loaded = replace(loaded, launch=loaded.launch.overridden(flags))
        if dry_run:
            show_plan(loaded, folder, device, probe=False, json=json)
            return
        ended = train(
            loaded,
            folder,
            device=device,
            progress=progress,
            fresh=fresh,
            stale=stale,
            limit=limit,
        )
        show_results(ended, json=json)
        if code := exit_code(ended.summary):
            raise typer.Exit(code)

    command.__doc__ = text
    return command


class Ended(NamedTuple):
    """What a command brought its recipe to."""

    surveyed: Survey
    """How things were when the command began."""
    summary: "CommandSummary"

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.surveyed.seen.store.path


def train(
    recipe: "LoadedRecipe",
    folder: Path,
    *,
    device: str = "auto",
    progress: ProgressStyle = ProgressStyle.auto,
    fresh: bool = False,
    stale: StaleResults = StaleResults.refuse,
    limit: int | None = None,
) -> Ended:
    """Bring the recipe's runs to a result in the store at `folder`, showing progress; see `execute_plan`.

    Nothing is written or set aside before it is clear that the command can work: what cannot is one message now, not a
    failure of every run later.
    """
    from petlsparse.analysis.replicates import run_labels
    from petlsparse.analysis.runs import Runs
    from petlsparse.analysis.staleness import stale_runs
    from petlsparse.launch.plan import execute_plan
    from petlsparse.searches.search import Batch
    from petlsparse.tracking.fingerprints import row_of
    from petlsparse.tracking.plan import Plans
    from petlsparse.tracking.snapshot import Snapshot
    from petlsparse.tracking.store import Store

    from ._progress import shown

    slot, *_ = slots_of(recipe, device)
    store = Store(folder)
    surveyed = survey(recipe, slot.device, Snapshot(store, Plans(), {}) if fresh else Snapshot.of(store), stale)
    current, finished = surveyed.current, surveyed.finished
    labels = run_labels(surveyed.runs.values()) if len(finished) < len(surveyed.runs) else {}

    def begin(batch: Batch) -> None:
        """Look at runs that follow from results of this command."""
        if any(run.run_id not in surveyed.runs for run in batch.runs):
            surveyed.look(batch)
            labels.update(run_labels(batch.runs))

    def redone(record: "RunRecord") -> bool:
        """Whether a result that was not looked at yet, or is to go, is trained again."""
        run = Runs.of([row_of(record)])
        if stale is not StaleResults.redo:
            decide(stale, folder, run, current)
        return stale is StaleResults.redo and bool(stale_runs(run, current))

    if fresh:
        start_fresh(folder)
    Store.create(folder)
    kept_otherwise(recipe, store, finished)
    with shown(progress, labels) as listener:
        summary = execute_plan(
            recipe,
            store,
            device=device,
            limit=limit,
            estimate=lambda run: surveyed.seconds.get(run.run_id, 0.0),
            accepted=finished.keys(),
            redo=redone,
            on_batch=begin,
            on_event=listener,
        )
    return Ended(surveyed, summary)


def kept_otherwise(recipe: "LoadedRecipe", store: "Store", finished: "Mapping[str, str]") -> None:
    """Say so if the recipe wants weights kept that finished runs have not."""
    from petlsparse.analysis.quantities import counted

    wanted = [f"{name}.safetensors" for name in ("best", "last") if recipe.output.save_weights in (name, "both")]
    done = [run_id for run_id, status in finished.items() if status == "done"]
    lacking = [run_id for run_id in done if not all((store.run_dir(run_id) / name).exists() for name in wanted)]
    if lacking:
        runs = f"{counted(len(lacking), 'finished run')} {'has' if len(lacking) == 1 else 'have'}"
        _console.warn(
            f"{runs} no {' and '.join(wanted)}: "
            f'output.save_weights = "{recipe.output.save_weights}" '
            "is for the runs to come, the others keep what they kept"
        )


def show_results(ended: Ended, *, json: bool) -> None:
    """The runs as JSON, or the comparison and what was written where."""
    from petlsparse.analysis.comparison import UNREAD
    from petlsparse.analysis.quantities import counted
    from petlsparse.analysis.staleness import stale_runs
    from petlsparse.tracking.parts import has_rows

    folder, summary, current = ended.folder, ended.summary, ended.surveyed.current
    if json:
        runs = recorded(ended)
        stale = stale_runs(runs, current)
        _console.print_json([{**run, "stale": stale.get(run["run_id"], ())} for run in runs])
        return
    if runs := recorded(ended, leave_out=UNREAD):
        from petlsparse.analysis.compare import compare

        from ._tables import print_comparisons

        print_comparisons(compare(runs, current), MOST_ROWS, f"petlsparse compare {folder}")
    counts = ", ".join(f"{n} {status}" for status, n in summary.counts.items())
    _console.out.print(f"{counted(len(summary.statuses), 'run')}: {counts}")
    for path in filter(has_rows, sorted(folder.glob("*.parquet"))):
        _console.out.print(f"  {path}", style="dim", highlight=False)
    if summary.then:
        _console.out.print(f"once all of them have a result: {summary.then}", soft_wrap=True)
    if failed := [run_id for run_id, status in summary.statuses.items() if status == "failed"]:
        _console.warn(first_failure(folder, failed))
    if summary.interrupted:
        _console.warn("interrupted; the same command again continues")


def first_failure(folder: Path, failed: Sequence[str]) -> str:
    """Which of these runs failed first in the order of the plan, why, and where to read more."""
    from petlsparse.tracking.store import Store

    from ._progress import last_line

    record = Store.open(folder).record(failed[0])
    why = last_line((record and record.error) or "")
    among = f", the first of {len(failed)} that failed" if len(failed) > 1 else " failed"
    return f"{failed[0]}{among}: {why}\npetlsparse show {failed[0]} --log --out {folder} tells more"


def recorded(ended: Ended, leave_out: "Collection[str]" = ()) -> "Runs":
    """The runs that the recipe asked for, not others that the store may hold; see `load_runs`."""
    from petlsparse.analysis.load import load_runs
    from petlsparse.analysis.runs import Runs

    surveyed, summary = ended
    if set(summary.statuses.values()) <= {"pending"}:
        return Runs.of(())
    if leave_out and summary.seen is not None and summary.seen.records_digest == surveyed.seen.records_digest:
        return surveyed.recorded.where("run_id", summary.statuses)  # they lack the same columns
    return load_runs([summary.seen or ended.folder], leave_out).where("run_id", summary.statuses)


def exit_code(summary: "CommandSummary") -> int:
    """0 all done, 1 some run failed, 128 + the number of the signal that stopped the command."""
    if summary.signal is not None:
        return 128 + summary.signal
    return int(summary.counts["failed"] > 0)


def start_fresh(folder: Path) -> None:
    """Rename a store, so that the command starts anew and nothing is lost.

    Of a link the folder it leads to is renamed, and the link leads to an empty one.
    """
    from petlsparse.tracking.store import Store

    if not folder.exists():
        return
    target = folder.resolve()
    if Path.cwd().is_relative_to(target):
        raise UserError(Problem("the working directory cannot be set aside: go elsewhere for --fresh", str(folder)))
    aside = target.with_name(f"{target.name}.before-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    with Store.open(folder).lock(wait=0):
        try:
            target.rename(aside)
            target.mkdir()
        except OSError as error:
            raise UserError(Problem(f"cannot be set aside: {error.strerror}", where=str(folder))) from error
    _console.warn(f"earlier results are in {aside}")
