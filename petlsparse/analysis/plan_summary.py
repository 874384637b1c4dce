"""What a plan asks for: per configuration, the runs by state, what they cost, and how long the rest will take."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from petlsparse.analysis.labels import edges_unsaid
from petlsparse.analysis.replicates import group
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.staleness import stale_runs
from petlsparse.recipe.schema import Run, flat

TO_DO, STALE = "to do", "stale"
_STATES = {"done": "done", "diverged": "done", "failed": "failed"}
STATES = ("done", STALE, TO_DO, "failed")


_UNDESCRIBED = ("optimizer", "schedule", "seed")
"""What of a run neither its cost nor what it rests on depends on."""


@dataclass(frozen=True)
class PlannedConfiguration:
    """One configuration of a plan."""

    method: str
    settings: Mapping[str, str]
    """What else tells configurations apart, by column name."""
    role: str | None
    """What a search asks for its runs as."""
    states: Mapping[str, str]
    """State of every run, by run id: done (diverged included), stale, to do (interrupted included) or failed."""
    stale: Mapping[str, tuple[str, ...]]
    """Of the stale runs, by run id: the fingerprints, by column, that differ from those of what is there now."""
    cost: Mapping[str, Any]
    """Parameters and FLOPs of one run."""
    edges: str | None
    """The adapters' edges, as JSON."""
    unsaid: bool
    """Whether the method's name does not tell them."""
    seconds: float | None
    """Expected for one run; None: unknown."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Runs per state."""
        return Counter(self.states.values())

    @property
    def seconds_left(self) -> float | None:
        """Expected for all runs that have no result."""
        left = len(self.states) - self.counts["done"] - self.counts[STALE]
        return 0.0 if left == 0 else None if self.seconds is None else left * self.seconds


def axes(runs: Iterable[Run], varies: Iterable[str]) -> dict[str, list[Any]]:
    """The values that each of the dotted keys `varies`, and the seed, take over the runs, in order."""
    settings = [flat(run.settings()) for run in runs]
    values = {key: [each[key] for each in settings if each.get(key) not in (None, [])] for key in [*varies, "seed"]}
    return {key: list({str(value): value for value in found}.values()) for key, found in values.items()}


class Described(Protocol):
    """A run by its settings, and what is there for it now."""

    @property
    def cost(self) -> Mapping[str, Any]:
        """Parameters and FLOPs, by column of the `runs` table."""

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Of what it would rest on, by column."""

    @property
    def derived(self) -> Mapping[str, Any]:
        """What follows from the settings, such as drawn edges, by column of the `runs` table."""


def plan_summary(
    runs: Iterable[Run],
    recorded: Runs,
    describe: Callable[[Run], Described],
    seconds: Callable[[Run], float | None],
    roles: Mapping[str, str | None] = MappingProxyType({}),
) -> list[PlannedConfiguration]:
    """The configurations of a plan, in its order.

    Args:
        runs: the runs of one study.
        recorded: those of them that have a record, and any others.
        describe: of a run; asked once for all runs that differ in optimizer, schedule and seed at most.
        seconds: expected duration of a run; asked once per configuration that is not done.
        roles: what a search asks for runs as, by run id.
    """
    by_id = {run.run_id: run for run in runs}
    descriptions: dict[Hashable, Described] = {}
    numbers = {run_id: number for number, run_id in enumerate(recorded["run_id"])}
    configurations = []
    for replicates in group(
        Runs.of(run.flat() | {"run_id": run_id, "role": roles.get(run_id)} for run_id, run in by_id.items())
    ).configurations:
        ids = replicates.runs["run_id"]
        first = by_id[ids[0]]
        shared = tuple(getattr(first, name) for name in type(first).model_fields if name not in _UNDESCRIBED)
        described = descriptions[shared] = descriptions.get(shared) or describe(first)
        known = recorded.take(numbers[run_id] for run_id in ids if run_id in numbers)
        stale = stale_runs(known, dict.fromkeys(ids, described.fingerprints))
        states = dict.fromkeys(ids, TO_DO)
        states |= {
            run_id: _STATES.get(status, TO_DO) for run_id, status in zip(known["run_id"], known["status"], strict=True)
        }
        states |= dict.fromkeys(stale, STALE)
        left = [run_id for run_id in ids if states[run_id] != "done"]
        expected = seconds(by_id[left[0]]) if left else None
        edges, unsaid = described.derived.get("edges"), edges_unsaid(replicates.runs)
        configurations.append(
            PlannedConfiguration(
                replicates.method,
                replicates.settings,
                replicates.role,
                states,
                stale,
                described.cost,
                edges,
                unsaid,
                expected,
            )
        )
    return configurations


def total_seconds(configurations: Iterable[PlannedConfiguration], workers: int) -> float | None:
    """Expected time for all that is left with so many workers; None when any part is unknown.

    Runs spread evenly, but one run keeps one worker: no less than the longest of them.
    """
    total = longest = 0.0
    for configuration in configurations:
        if configuration.seconds_left is None:
            return None
        if configuration.seconds_left and configuration.seconds:
            total, longest = total + configuration.seconds_left, max(longest, configuration.seconds)
    return max(total / workers, longest)
