"""Finished runs that rest on other data or weights than are there now: how they are told, and what is done."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from petlsparse.errors import Problem, UserError

from . import _console
from ._options import StaleResults

if TYPE_CHECKING:
    from petlsparse.analysis.runs import Runs
    from petlsparse.analysis.staleness import CurrentFingerprints
    from petlsparse.studies import Findings
    from petlsparse.tracking.record import Record as RunRecord

CHOICES = {
    StaleResults.refuse: "does nothing (the default)",
    StaleResults.keep: "counts them as finished, marked in the tables",
    StaleResults.redo: "sets them aside within their folders and trains them again",
}
"""What --stale does in a study command."""


def stale_lines(runs: "Runs", stale: Mapping[str, Sequence[str]]) -> list[str]:
    """How many runs are stale and why; `stale` holds their differing fingerprints by run id."""
    from petlsparse.analysis.staleness import stale_summary

    which = "1 finished run is" if len(stale) == 1 else f"{len(stale)} finished runs are"
    lines = (f"  {line}" for line in stale_summary(runs, stale))
    return [f"{which} stale, trained with something else than is there now:", *lines]


def choice_lines() -> list[str]:
    """What each value of --stale does."""
    return [f"  --stale {choice:<6}  {does}" for choice, does in CHOICES.items()]


def decide(choice: StaleResults, folder: Path, runs: "Runs", current: "CurrentFingerprints") -> None:
    """Say what is stale and what comes of it. Raises UserError unless the user has chosen."""
    from petlsparse.analysis.staleness import stale_runs

    stale = stale_runs(runs, current)
    if not stale:
        return
    lines = stale_lines(runs, stale)
    if choice is StaleResults.refuse:
        raise UserError(Problem("\n".join([*lines, *choice_lines()]), where=str(folder)))
    _console.warn("\n".join([*lines, f"  --stale {choice} {CHOICES[choice]}"]))


def unchecked(run_ids: "Iterable[str]", findings: "Findings") -> None:
    """Say of which runs nobody knows what is there now, and why."""
    lacking = [run_id for run_id in run_ids if run_id not in findings.fingerprints]
    if lacking:
        runs = "1 run is" if len(lacking) == 1 else f"{len(lacking)} runs are"
        reasons = dict.fromkeys(str(problem) for run_id in lacking for problem in findings.problems[run_id])
        _console.warn("\n".join([f"whether {runs} stale cannot be checked", *reasons]))


def looked_at(records: "Iterable[RunRecord]") -> "CurrentFingerprints":
    """What recorded runs would rest on now; says of which nobody can tell, and why."""
    from petlsparse.recipe.loading import parse_run
    from petlsparse.studies import check_runs

    runs = {}
    for record in records:
        try:
            runs[record.run_id] = parse_run(record.settings)
        except UserError as error:  # of a time when other settings were possible
            _console.warn(f"whether run {record.run_id} is stale cannot be checked\n{error}")
    with _console.err.status("looking at data and models ..."):
        findings = check_runs(runs)
    unchecked(runs, findings)
    return findings.fingerprints
