"""How results folders stand: runs by state, what is at work now and how far, what is left. Changes nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from petlsparse.analysis.arms import run_labels
from petlsparse.errors import UserError
from petlsparse.recipe.loading import runs_of
from petlsparse.tracking.lock import Holder, holder_of
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.progress import Progress, read_beat
from petlsparse.tracking.record import FINAL, Record
from petlsparse.tracking.store import Store

TO_DO = "to do"
DEPTH = 4
"""How far below the folder that is named results folders are looked for."""


@dataclass(frozen=True)
class AtWork:
    """A run that a worker has at hand, alone or with others that train as one with it."""

    run_id: str
    label: str
    """What it stands for; empty where the plan does not tell."""
    progress: Progress


@dataclass(frozen=True)
class Standing:
    """One results folder."""

    folder: Path
    counts: Mapping[str, int]
    """Runs by status; "to do" without a record."""
    holder: Holder | None = None
    """The command that uses the folder; None: none that is known."""
    at_work: tuple[AtWork, ...] = field(default=())
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


def standing(folder: Path, now: datetime) -> Standing:
    """How one results folder stands. Raises UserError for one that cannot be read or is too new."""
    store = Store.open(folder)
    plans = store.read_plans()
    records = {record.run_id: record for record in store.records()}
    run_ids = dict.fromkeys([*plans.run_ids, *records])
    counts = dict(Counter(records[run_id].status if run_id in records else TO_DO for run_id in run_ids))
    holder = holder_of(folder)
    if holder is None or holder.gone:
        return Standing(folder, counts)
    latest = plans.commands[-1] if plans.commands else Plan("")
    at_work = tuple(_at_work(store, latest, records))
    return Standing(folder, counts, holder, at_work, _seconds_left(latest, records, at_work, holder, now))


def _at_work(store: Store, plan: Plan, records: Mapping[str, Record]) -> Iterator[AtWork]:
    """The unfinished runs of the plan whose workers report."""
    unfinished = [run_id for run_id in plan.run_ids if run_id not in records or not records[run_id].final]
    beats = {run_id: read_beat(store.run_dir(run_id) / "progress.json") for run_id in unfinished}
    labels = _labels(plan) if any(beats.values()) else {}
    for run_id, beat in beats.items():
        if beat is not None:
            yield AtWork(run_id, labels.get(run_id, ""), beat.progress)


def _labels(plan: Plan) -> dict[str, str]:
    try:
        return run_labels(runs_of(plan.resolved or {}))
    except UserError:  # of a version with other settings
        return {}


def _seconds_left(
    plan: Plan, records: Mapping[str, Record], at_work: tuple[AtWork, ...], holder: Holder, now: datetime
) -> float | None:
    since = _time(holder.since, now)
    ended = [records[run_id] for run_id in plan.run_ids if run_id in records]
    times = [_time(record.provenance.get("finished"), since) for record in ended]
    over = sum(time > since for time in times)
    left = sum(run_id not in records for run_id in plan.run_ids) + sum(
        not record.final and time <= since for record, time in zip(ended, times, strict=True)
    )
    done = sum(each.progress.step / each.progress.total_steps for each in at_work if each.progress.total_steps)
    elapsed = (now - since).total_seconds()
    return elapsed * max(left - done, 0.0) / (over + done) if over and elapsed > 0 else None


def _time(text: object, otherwise: datetime) -> datetime:
    """The time in ISO 8601, with its zone; `otherwise` for what is none."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return otherwise
    return time if time.tzinfo else otherwise
