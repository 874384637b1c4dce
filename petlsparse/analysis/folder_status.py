"""How results folders stand: runs by state, what is at work now and how far, what is left. Changes nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from petlsparse.analysis.replicates import run_labels
from petlsparse.errors import UserError
from petlsparse.recipe.loading import runs_of
from petlsparse.tracking.compaction import RunStatus, run_statuses
from petlsparse.tracking.lock import Holder, holder_of
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.progress import Progress, read_heartbeat
from petlsparse.tracking.record import FINAL
from petlsparse.tracking.snapshot import Snapshot
from petlsparse.tracking.store import Store

TO_DO, RUNNING = "to do", "running"
DEPTH = 4
"""How far below the folder that is named results folders are looked for."""


@dataclass(frozen=True)
class AtWork:
    """What a worker has at hand: a run, or several that train as one."""

    run_ids: tuple[str, ...]
    """Those without a result yet."""
    label: str
    """What the first of them stands for; empty where the plan does not tell."""
    progress: Progress

    @property
    def share(self) -> float:
        """How much of it is done."""
        return self.progress.step / self.progress.total_steps if self.progress.total_steps else 0.0


@dataclass(frozen=True)
class FolderStatus:
    """One results folder."""

    folder: Path
    counts: Mapping[str, int]
    """Runs by what they are: "running", else the status of the record, else "to do". They add up to all there are."""
    holder: Holder | None = None
    """The command that uses the folder; None: none that is known."""
    at_work: tuple[AtWork, ...] = field(default=())
    then: str = ""
    """What the search of the latest command asks for once all its runs have a result; empty where nothing follows."""
    seconds_left: float | None = None
    """Until the command is through, at the rate at which it finished runs so far; None: unknown."""

    @property
    def left(self) -> int:
        """Runs without a result."""
        return sum(n for status, n in self.counts.items() if status not in FINAL)


def results_folders(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The results folders at and below `root`, sorted, without those that were set aside."""
    if any((root / name).exists() for name in ("plan.json", "runs.parquet")):
        yield root
    elif depth and root.is_dir():
        try:
            folders = sorted(root.iterdir())
        except OSError:  # what may not be looked into hides no other
            return
        for folder in folders:
            if folder.is_dir() and ".before-" not in folder.name:
                yield from results_folders(folder, depth - 1)


def folder_status(folder: Path, now: datetime) -> FolderStatus:
    """How one results folder stands. Raises UserError for one that cannot be read or is too new."""
    seen = Snapshot.of(folder)
    store, plans, recorded = seen.store, seen.plans, run_statuses(seen)
    statuses = dict.fromkeys([*plans.run_ids, *recorded], TO_DO)
    statuses |= {run_id: run.status for run_id, run in recorded.items()}
    latest = plans.commands[-1] if plans.commands else Plan("")
    holder = holder_of(folder)
    if holder is None or holder.gone:
        return FolderStatus(folder, dict(Counter(statuses.values())), then=latest.then)
    at_work = tuple(_at_work(store, latest, recorded, holder))
    statuses |= {run_id: RUNNING for each in at_work for run_id in each.run_ids}
    left = _seconds_left(latest, recorded, at_work, holder, now)
    return FolderStatus(folder, dict(Counter(statuses.values())), holder, at_work, latest.then, left)


def _at_work(store: Store, plan: Plan, recorded: Mapping[str, RunStatus], holder: Holder) -> Iterator[AtWork]:
    """The unfinished runs of the plan that workers report of, each in the file of the first it was handed over with."""
    files = (store.run_dir(run_id) / "progress.json" for run_id in plan.run_ids)
    heartbeats = [heartbeat for file in files if (heartbeat := read_heartbeat(file))]
    unfinished = {run_id for run_id in plan.run_ids if run_id not in recorded or recorded[run_id].status not in FINAL}
    labels = _labels(plan) if heartbeats else {}
    for heartbeat in heartbeats:
        if replace(holder, pid=heartbeat.pid).gone:  # left by a worker that was killed with its command
            continue
        if run_ids := tuple(run_id for run_id in heartbeat.run_ids if run_id in unfinished):
            label = labels.get(run_ids[0]) or plan.roles.get(run_ids[0], "")
            yield AtWork(run_ids, label, heartbeat.progress)


def _labels(plan: Plan) -> dict[str, str]:
    try:
        return run_labels(runs_of(plan.resolved or {}))
    except UserError:  # of a version with other settings
        return {}


def _seconds_left(
    plan: Plan, recorded: Mapping[str, RunStatus], at_work: tuple[AtWork, ...], holder: Holder, now: datetime
) -> float | None:
    since = _time(holder.since, now)
    ended = [recorded[run_id] for run_id in plan.run_ids if run_id in recorded]
    times = [_time(run.finished, since) for run in ended]
    over = sum(time > since for time in times)
    left = sum(run_id not in recorded for run_id in plan.run_ids) + sum(
        run.status not in FINAL and time <= since for run, time in zip(ended, times, strict=True)
    )
    done = over + sum(each.share * len(each.run_ids) for each in at_work)
    elapsed = (now - since).total_seconds()
    return elapsed * max(over + left - done, 0.0) / done if done and elapsed > 0 else None


def _time(text: object, otherwise: datetime) -> datetime:
    """The time in ISO 8601, with its zone; `otherwise` for what is none."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return otherwise
    return time if time.tzinfo else otherwise
