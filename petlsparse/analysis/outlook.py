"""What a plan holds in store: per arm, the runs by state, what they cost, and how long the rest will take."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from petlsparse.analysis.arms import group
from petlsparse.recipe.nesting import flatten
from petlsparse.recipe.schema import Run

TO_DO = "to do"
_STATES = {"done": "done", "diverged": "done", "failed": "failed"}
STATES = ("done", TO_DO, "failed")


@dataclass(frozen=True)
class ArmOutlook:
    """One arm of a plan."""

    method: str
    settings: Mapping[str, str]
    """What else tells arms apart, by column name."""
    states: Mapping[str, str]
    """State of every run, by run id: done (diverged included), to do (interrupted included) or failed."""
    cost: Mapping[str, Any]
    """Parameters and FLOPs of one run."""
    seconds: float | None
    """Expected for one run; None: unknown."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Runs per state."""
        return Counter(self.states.values())

    @property
    def seconds_left(self) -> float | None:
        """Expected for all runs that are not done."""
        left = len(self.states) - self.counts["done"]
        return 0.0 if left == 0 else None if self.seconds is None else left * self.seconds


def axes(runs: Iterable[Run], varies: Iterable[str]) -> dict[str, list[Any]]:
    """The values that each of the dotted keys `varies`, and the seed, take over the runs, in order."""
    settings = [flatten(run.settings()) for run in runs]
    values = {key: [each[key] for each in settings if each.get(key) not in (None, [])] for key in [*varies, "seed"]}
    return {key: list({str(value): value for value in found}.values()) for key, found in values.items()}


def outlook(
    runs: Iterable[Run],
    statuses: Mapping[str, str],
    describe: Callable[[Run], Mapping[str, Any]],
    seconds: Callable[[Run], float | None],
) -> list[ArmOutlook]:
    """The arms of a plan, in its order.

    Args:
        runs: the runs of one study.
        statuses: recorded status by run id, of those that have one.
        describe: cost of a run; asked once per arm.
        seconds: expected duration of a run; asked once per arm that is not done.
    """
    by_id = {run.run_id: run for run in runs}
    arms = []
    for arm in group([run.flat() | {"run_id": run_id} for run_id, run in by_id.items()]).arms:
        ids = [row["run_id"] for row in arm.runs]
        states = {run_id: _STATES.get(statuses.get(run_id, ""), TO_DO) for run_id in ids}
        left = [run_id for run_id in ids if states[run_id] != "done"]
        expected = seconds(by_id[left[0]]) if left else None
        arms.append(ArmOutlook(arm.method, arm.settings, states, describe(by_id[ids[0]]), expected))
    return arms


def total_seconds(arms: Iterable[ArmOutlook], workers: int) -> float | None:
    """Expected time for all that is left with so many workers; None when any part is unknown.

    Runs spread evenly, but one run keeps one worker: no less than the longest of them.
    """
    total = longest = 0.0
    for arm in arms:
        if arm.seconds_left is None:
            return None
        if arm.seconds_left and arm.seconds:
            total, longest = total + arm.seconds_left, max(longest, arm.seconds)
    return max(total / workers, longest)
