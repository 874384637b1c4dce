"""`petlsparse status`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petlsparse.errors import Problem, UserError

from . import _console
from ._complete import RESULTS, stores
from ._options import Json

if TYPE_CHECKING:
    from petlsparse.analysis.folder_status import AtWork, FolderStatus


def status(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Results folder, or a folder of them.", autocompletion=stores)
    ] = RESULTS,
    json: Json = False,
) -> None:
    """Say how results folders stand: runs by state, what is running now and how far, what is left.

    Examples:
        petlsparse status
        petlsparse status results/dst-smoke --json
    """
    from datetime import UTC, datetime

    from petlsparse.analysis.folder_status import folder_status, results_folders

    if folder != RESULTS and not folder.is_dir():
        raise UserError(Problem("no such folder", where=str(folder)))
    found: list[FolderStatus] = []
    for path in results_folders(folder):
        try:
            found.append(folder_status(path, datetime.now(UTC)))
        except UserError as error:  # one folder that cannot be read hides no other
            _console.warn(str(error))
    if json:
        _console.print_json([_document(each) for each in found])
    elif found:
        _print(found)
    else:
        _console.out.print(f"no results in {folder}", soft_wrap=True)


def _document(found: "FolderStatus") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(found) | {"left": found.left}


def _print(found: "Sequence[FolderStatus]") -> None:
    from petlsparse.analysis.quantities import duration

    states = list(dict.fromkeys(state for each in found for state in each.counts))
    rows = [(each.folder, *(each.counts.get(state) or "" for state in states), _now(each)) for each in found]
    _console.out.print(_console.grid(["folder", *states, "now"], rows, right=states))
    for each in found:
        if each.then:
            _console.out.print(f"{each.folder}: once all runs have a result: {each.then}", soft_wrap=True)
        if each.holder is None:
            continue
        left = "" if each.seconds_left is None else f"; about {duration(each.seconds_left)} to go"
        _console.out.print(f"{each.folder}: {each.holder}{left}")
        for work in each.at_work:
            _console.out.print(f"  {_name(work)} {_far(work)}")


def _name(work: "AtWork") -> str:
    if len(work.run_ids) > 1:
        return f"{len(work.run_ids)} runs as one: {work.run_ids[0]} ..."
    return f"{work.run_ids[0]} {work.label}".rstrip() + ":"


def _far(work: "AtWork") -> str:
    at = work.progress
    return f"step {at.step} of {at.total_steps}, epoch {at.epoch}" if at.total_steps else "starting"


def _now(found: "FolderStatus") -> str:
    if found.holder is not None:
        return "running"
    return "stopped" if found.left or found.then else "complete"
