"""What a study command finds out before it begins: what is there, what is finished, how long the rest will take."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import _console
from ._options import StaleResults
from ._stale import decide, unchecked
from .plan import recorded_runs

if TYPE_CHECKING:
    from petlsparse.analysis.runs import Runs
    from petlsparse.recipe import Recipe, Run
    from petlsparse.searches.search import Batch, Result
    from petlsparse.tracking.snapshot import Snapshot


@dataclass(frozen=True)
class Survey:
    """Holds the runs that a recipe asks for against data, models and what the store holds."""

    recipe: "Recipe"
    device: str
    seen: "Snapshot"
    stale: StaleResults
    recorded: "Runs"
    """All that the store held when it was seen; see `recorded_runs`."""
    runs: "dict[str, Run]" = field(default_factory=dict)
    """Those that were looked at, by run id."""
    current: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """What they would rest on; see `staleness.CurrentFingerprints`."""
    finished: dict[str, str] = field(default_factory=dict)
    """Status of those whose results stay."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Expected of the others; see `expected_seconds`."""

    def look(self, batch: "Batch") -> None:
        """At the runs of a batch that were not looked at before.

        Raises UserError where one cannot be trained, or is stale and the user has not chosen what to do then.
        """
        from petlsparse.analysis.estimate import expected_seconds
        from petlsparse.analysis.staleness import stale_runs
        from petlsparse.launch.apart import examined_apart
        from petlsparse.studies import check_runs
        from petlsparse.tracking.record import FINAL

        runs = {run.run_id: run for run in batch.runs if run.run_id not in self.runs}
        if not runs:
            return
        results = self.recorded.where("run_id", runs).where("status", FINAL)
        here = self.recipe.launch.workers == 0 or "torch" in sys.modules  # no process has to be spared it
        findings = check_runs(runs, self.device, examine=None if here else examined_apart)
        current = findings.fingerprints
        redone = stale_runs(results, current) if self.stale is StaleResults.redo else {}
        statuses = zip(results["run_id"], results["status"], strict=True)
        finished = {run_id: status for run_id, status in statuses if run_id not in redone}
        todo = {run_id: run for run_id, run in runs.items() if run_id not in finished}
        findings.require(todo, self.recipe.locate)
        unchecked(finished, findings)
        for remark in findings.remarks if todo else ():
            _console.warn(remark)
        decide(self.stale, self.seen.store.path, results, current)
        self.runs.update(runs)
        self.current.update(current)
        self.finished.update(finished)
        if todo:
            self.seconds.update(expected_seconds(todo.values(), self.device, self.recorded))

    def results(self, batch: "Batch") -> "Mapping[str, Result] | None":
        """Look at a batch, and tell the recipe's search what is known of it."""
        from petlsparse.searches.search import results_of

        self.look(batch)
        if any(run.run_id not in self.finished for run in batch.runs):
            return None
        return results_of(batch, self.seen.store)


def survey(recipe: "Recipe", device: str, seen: "Snapshot", stale: StaleResults) -> Survey:
    """The survey of all runs that the recipe asks for as far as it is known now: those after them follow from results.

    Raises UserError as `Survey.look` does.
    """
    from petlsparse.searches.search import drive, search_of

    found = Survey(recipe, device, seen, stale, recorded_runs(seen))
    with _console.err.status("looking at data and models ..."):
        drive(search_of(recipe), found.results)
    return found
