"""`petlsparse plan`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from . import _console
from ._options import Axes, Device, Json, Out, PerGpu, Recipe, Seeds, Sets, Workers
from ._stale import choice_lines, stale_lines

if TYPE_CHECKING:
    from petlsparse.analysis.plan_summary import PlannedConfiguration
    from petlsparse.analysis.runs import Runs
    from petlsparse.analysis.table import TextColumn
    from petlsparse.launch.devices import DeviceSlot
    from petlsparse.recipe import Recipe as LoadedRecipe
    from petlsparse.recipe import Run
    from petlsparse.searches.search import Batch, Result
    from petlsparse.tracking.snapshot import Snapshot

COSTS = {
    "trainable_parameters": ("trainable", 0),
    "active_parameters": ("active", 2),
    "training_flops": ("train FLOPs", 1),
    "inference_flops": ("infer FLOPs", 3),
}
"""Column of the `runs` table -> its heading, and how dispensable it is where there is little room."""


def plan(
    recipe: Recipe,
    out: Out = None,
    sets: Sets = None,
    axes: Axes = None,
    seeds: Seeds = None,
    device: Device = "auto",
    workers: Workers = None,
    per_gpu: PerGpu = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Time a few real steps where no finished run tells how long it takes.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a recipe means: axes, runs, what is done already, what it costs, how long it will take.

    Examples:
        petlsparse plan dst-smoke --axis method.density=0.02,0.1
        petlsparse plan adapter-smoke --seeds 1-5 --probe
    """
    from petlsparse.recipe import load_recipe

    loaded = load_recipe(recipe, sets=sets or (), axes=axes or (), seeds=seeds)
    loaded = replace(loaded, launch=loaded.launch.overridden({"workers": workers, "per_gpu": per_gpu}))
    show_plan(loaded, out or default_out(loaded), device, probe=probe, json=json)


def default_out(recipe: "LoadedRecipe") -> Path:
    """The results folder of a recipe, unless the user names one."""
    return Path("results") / recipe.name


def show_plan(
    recipe: "LoadedRecipe",
    folder: Path,
    device: str,
    *,
    probe: bool,
    json: bool,
) -> None:
    """Print a plan; `plan` and `--dry-run` share it."""
    from petlsparse.analysis.estimate import Estimates
    from petlsparse.analysis.plan_summary import plan_summary
    from petlsparse.studies import check_runs, describe
    from petlsparse.tracking.record import FINAL
    from petlsparse.tracking.snapshot import Snapshot
    from petlsparse.tracking.store import Store

    slots = slots_of(recipe, device)
    batches = asked_for(recipe, folder)
    runs = {run.run_id: run for batch in batches for run in batch.runs}
    roles = {run.run_id: batch.role for batch in batches for run in batch.runs}
    recorded = recorded_runs(Snapshot.of(Store(folder)))
    estimates = Estimates(recorded, slots[0].device)

    def seconds(run: "Run") -> float | None:
        estimate = estimates.seconds(run.flat())
        return probed(run, device) if estimate is None and probe else estimate

    finished = set(recorded.where("status", FINAL)["run_id"])
    with _console.err.status("looking at every method ..."):
        findings = check_runs(runs, slots[0].device)
        findings.require([run_id for run_id in runs if run_id not in finished], recipe.locate)
        planned = plan_summary(runs.values(), recorded, describe, seconds, roles)
    if json:
        _console.print_json(_rows(planned))
    else:
        _print(recipe, folder, planned, len(slots), runs.values())
        if then := batches[-1].then:
            _console.out.print(f"once all of them have a result: {then}", soft_wrap=True)
        for line in (*findings.data, *findings.remarks):
            _console.out.print(Text(line), soft_wrap=True)
        _print_stale(recorded, planned)


def slots_of(recipe: "LoadedRecipe", device: str) -> "list[DeviceSlot]":
    """Where the recipe's runs would be trained. Raises UserError for a device that does not exist."""
    from petlsparse.launch.devices import device_slots

    return device_slots(device, recipe.launch.workers or None, recipe.launch.per_gpu or 1)


def asked_for(recipe: "LoadedRecipe", folder: Path) -> "list[Batch]":
    """What the recipe's search asks for, as far as the results in the store at `folder`, which need not exist, tell."""
    from petlsparse.searches.search import drive, results_of, search_of
    from petlsparse.tracking.store import Store

    batches: list[Batch] = []

    def told(batch: "Batch") -> "Mapping[str, Result] | None":
        batches.append(batch)
        return results_of(batch, Store(folder))

    drive(search_of(recipe), told)
    return batches


def recorded_runs(seen: "Snapshot") -> "Runs":
    """The runs that have a record, without what nobody reads."""
    from petlsparse.analysis.comparison import UNREAD
    from petlsparse.analysis.load import load_runs
    from petlsparse.analysis.runs import Runs

    return load_runs([seen], leave_out=UNREAD) if seen.stamps else Runs.of(())


def probed(run: "Run", device: str) -> float:
    """Seconds of the run from a few real steps, on the device that the user named and with one thread, like a worker's.

    A worker sees its own GPU only and calls it cuda:0; this process sees them all.
    """
    import torch

    from petlsparse.launch.devices import resolve_device
    from petlsparse.studies import probe_seconds

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return probe_seconds(run, torch.device(resolve_device(device)))
    finally:
        torch.set_num_threads(threads)


def _rows(planned: "Sequence[PlannedConfiguration]") -> list[dict[str, Any]]:
    """One object per run."""
    from json import loads

    return [
        {
            "run_id": run_id,
            "state": state,
            "stale": each.stale.get(run_id, ()),
            "method": each.method,
            **({"role": each.role} if each.role else {}),
            **each.settings,
            **each.cost,
            **({} if each.edges is None else {"edges": loads(each.edges)}),
            "seconds": each.seconds,
        }
        for each in planned
        for run_id, state in each.states.items()
    ]


def _print(
    recipe: "LoadedRecipe",
    folder: Path,
    planned: "Sequence[PlannedConfiguration]",
    workers: int,
    runs: "Collection[Run]",
) -> None:
    from petlsparse.analysis.notes import listing
    from petlsparse.analysis.plan_summary import STATES, axes, total_seconds
    from petlsparse.analysis.quantities import counted, duration

    from ._tables import fitted

    _console.out.print(Text.assemble((recipe.name, "bold"), f"  {recipe.study}, {recipe.path}"), soft_wrap=True)
    varied = axes(runs, recipe.varies)
    room = _console.out.width - max(map(len, varied)) - 4
    values = [(key, listing(_named(key, found), room)) for key, found in varied.items()]
    _console.out.print(_console.grid(["axis", "values"], values))
    table, _ = fitted(_columns(planned))
    _console.out.print(table)
    totals = {state: sum(each.counts[state] for each in planned) for state in STATES}
    states = ", ".join(f"{n} {state}" for state, n in totals.items() if n)
    left = total_seconds(planned, workers)
    if left is None:
        states += f"; time unknown with {workers} at a time"
    elif left:
        states += f"; about {duration(left)} with {workers} at a time"
    text = f"{counted(len(runs), 'run')}: {states}, in {folder}"
    _console.out.print(text, soft_wrap=True)


def _named(key: str, values: "Sequence[Any]") -> "Sequence[Any]":
    """The values of an axis; lists of edges by the names that labels give them."""
    import json

    from petlsparse.analysis.labels import edge_names

    return [edge_names(json.dumps(edges)) for edges in values] if key == "method.placement.edges" else values


def _print_stale(recorded: "Runs", planned: "Sequence[PlannedConfiguration]") -> None:
    stale = {run_id: columns for each in planned for run_id, columns in each.stale.items()}
    for line in [*stale_lines(recorded, stale), *choice_lines()] if stale else ():
        _console.out.print(Text(line), soft_wrap=True)


def _columns(planned: "Sequence[PlannedConfiguration]") -> "list[TextColumn]":
    from petlsparse.analysis.labels import edge_names
    from petlsparse.analysis.plan_summary import STATES
    from petlsparse.analysis.quantities import count, duration
    from petlsparse.analysis.table import TextColumn, heading

    def time(each: "PlannedConfiguration") -> str:
        return "" if each.seconds_left == 0 else "unknown" if each.seconds is None else duration(each.seconds)

    def edges(each: "PlannedConfiguration") -> str:
        return edge_names(each.edges) if each.unsaid else ""

    return [
        *(
            TextColumn(heading(name), tuple(each.settings[name] for each in planned), numeric=False)
            for name in planned[0].settings
        ),
        TextColumn("method", tuple(each.method for each in planned), numeric=False),
        *(
            [TextColumn("as", tuple(each.role or "" for each in planned), numeric=False)]
            if any(each.role for each in planned)
            else []
        ),
        *(
            [TextColumn("edges", tuple(map(edges, planned)), numeric=False, drop_order=1)]
            if any(each.unsaid for each in planned)
            else []
        ),
        *(
            TextColumn(state, tuple(str(each.counts[state] or "") for each in planned))
            for state in STATES
            if any(each.counts[state] for each in planned)
        ),
        *(
            TextColumn(header, tuple(count(each.cost.get(name)) for each in planned), drop_order=drop_order)
            for name, (header, drop_order) in COSTS.items()
        ),
        TextColumn("time/run", tuple(time(each) for each in planned)),
    ]
