"""`petlsparse show`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from petlsparse.errors import Problem, UserError, nearest_name

from . import _console
from ._complete import RESULTS
from ._options import Check, Json, RunId
from ._stale import looked_at

if TYPE_CHECKING:
    from petlsparse.tracking.record import Record


def show(
    run_id: RunId,
    log: Annotated[bool, typer.Option("--log", help="Also print what the run wrote to its log.")] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to look for the run in, at any depth.")
    ] = RESULTS,
    check: Check = False,
    json: Json = False,
) -> None:
    """Show one run: status, settings, metrics, cost, provenance, and its error if it failed.

    Examples:
        petlsparse show 3f2a --out results/dst-smoke
        petlsparse show 3f2a --log
    """
    from petlsparse.tracking.store import Store

    folder = _find(run_id, out)
    store = Store(folder.parents[1])
    record = store.record(folder.name)
    if record is None:
        raise UserError(Problem("the run has no record yet", where=str(folder)))
    document = record.to_json()
    if proposed := store.read_plans().proposed(record.run_id):
        document["proposed"] = proposed
    text = _log(folder) if log else None
    if text is not None:
        document["log"] = text
    if check:
        document["stale"] = _stale(record)
    if json:
        _console.print_json(document)
        return
    _console.out.print(Text.assemble((record.run_id, "bold"), f"  {record.status}  {record.study} of {record.recipe}"))
    _console.out.print(Text(str(folder), style="dim"))
    if proposed:
        _console.out.print(f"asked for by {proposed}")
    if check:
        _console.out.print(_verdict(document["stale"]))
    for section in ("settings", "metrics", "cost", "provenance"):
        _console.out.print(_section(section, document[section]))
    if record.error:
        _console.out.print(Text(record.error.rstrip(), style="red"), soft_wrap=True)
    if text is not None:
        _console.write(text + "\n")


def _stale(record: "Record") -> list[str] | None:
    """The fingerprints in which the run's result differs from what is there now; None where nobody can tell."""
    from petlsparse.analysis.runs import Runs
    from petlsparse.analysis.staleness import stale_runs
    from petlsparse.tracking.fingerprints import row_of

    current = looked_at([record])
    if record.run_id not in current:
        return None
    return list(stale_runs(Runs.of([row_of(record)]), current).get(record.run_id, ()))


def _verdict(stale: list[str] | None) -> str:
    from petlsparse.analysis.notes import listing
    from petlsparse.tracking.fingerprints import FINGERPRINTS

    if stale is None:
        return "cannot be checked for what it rests on"
    if not stale:
        return "not stale: what it rests on is what is there now, as far as it was recorded"
    return f"stale: {listing(FINGERPRINTS[name].words for name in stale)} differ from what is there now"


def _section(title: str, values: dict[str, Any]) -> Table:
    from json import dumps

    from petlsparse.analysis.labels import edge_names
    from petlsparse.analysis.quantities import with_unit
    from petlsparse.recipe.schema import flat
    from petlsparse.tracking.tables import RUNS

    units = {column.name: column.unit for column in RUNS.columns}
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(title, style="bold"))
    for name, value in flat(values).items():
        shown = (
            edge_names(dumps(value), len(value))
            if name == "method.placement.edges"
            else with_unit(value, units.get(name, ""))
        )
        if name == "edges":
            shown = edge_names(value, len(value))
        table.add_row(Text(f"  {name}"), Text(shown))
    return table


def _log(folder: Path) -> str:
    path = folder / "log.txt"
    return path.read_text(encoding="utf-8", errors="replace").rstrip() if path.exists() else ""


def _find(run_id: str, root: Path) -> Path:
    """The one folder below `root` of a run whose id begins like this."""
    from petlsparse.recipe.identity import RUN_ID_PATTERN

    folders = sorted(
        p for p in root.glob("**/runs/*") if RUN_ID_PATTERN.fullmatch(p.name) and (p / "record.json").exists()
    )
    found = [path for path in folders if path.name.startswith(run_id)]
    names = {path.name for path in found}
    if not names:
        nearest = nearest_name(run_id, {path.name for path in folders})
        raise UserError(Problem(f'no run "{run_id}" here', where=str(root), nearest=nearest))
    if len(names) > 1:
        raise UserError(Problem(f'"{run_id}" begins several run ids', where=str(root), valid=tuple(sorted(names))))
    return found[0]
