"""What a study command finds out before it begins: what is there, what is finished, how long the rest will take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import _console
from ._options import StaleResults
from ._stale import decide, unchecked

if TYPE_CHECKING:
    from petlsparse.analysis.rows import Record
    from petlsparse.analysis.staleness import Present
    from petlsparse.recipe import Recipe


class Survey(NamedTuple):
    """What there is when a command begins."""

    present: "Present"
    """What the recipe's runs would rest on."""
    finished: "Mapping[str, str]"
    """Status of the runs whose results stay, by run id."""
    seconds: "Mapping[str, float]"
    """Expected of the others, by run id; see `expected_seconds`."""


def survey(recipe: "Recipe", device: str, folder: Path, records: "Sequence[Record]", stale: StaleResults) -> Survey:
    """Hold the recipe against its data and models, and against the rows of what the store at `folder` holds.

    Raises UserError where a run cannot be trained, or is stale and the user has not chosen what to do then.
    """
    from petlsparse.analysis.estimate import expected_seconds
    from petlsparse.analysis.staleness import stale_columns
    from petlsparse.studies import check
    from petlsparse.tracking.record import FINAL

    runs = {run.run_id: run for run in recipe.runs}
    results = [record for record in records if record["run_id"] in runs and record["status"] in FINAL]
    with _console.err.status("looking at data and models ..."):
        findings = check(runs, device)
    present = findings.fingerprints
    kept = [record for record in results if stale is not StaleResults.redo or not stale_columns(record, present)]
    finished = {record["run_id"]: record["status"] for record in kept}
    todo = {run_id: run for run_id, run in runs.items() if run_id not in finished}
    findings.require(todo, recipe.located)
    unchecked(finished, findings)
    for remark in findings.remarks if todo else ():
        _console.warn(remark)
    decide(stale, folder, results, present)
    return Survey(present, finished, expected_seconds(todo.values(), device, records) if todo else {})
