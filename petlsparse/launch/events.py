"""What a command learns while its plan is executed, and what it has at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from petlsparse.tracking.lock import Holder
from petlsparse.tracking.progress import Progress
from petlsparse.tracking.snapshot import Snapshot


@dataclass(frozen=True)
class Waiting:
    """Another command holds the store; None when it did not say which."""

    holder: Holder | None


@dataclass(frozen=True)
class Planned:
    """What is going to be executed, in this order, and how many runs had a result already; for every batch anew."""

    run_ids: tuple[str, ...]
    finished_before: int
    role: str | None = None
    """What a search asks for them as; it chooses by "candidate" runs, so that their test results are not to be seen."""
    then: str = ""
    """What a search asks for after it; empty where nothing follows."""


@dataclass(frozen=True)
class Started:
    """A run was handed to a worker; several to the same one, before any of them ends, are trained as one."""

    run_id: str
    attempt: int
    worker: int


@dataclass(frozen=True)
class Progressed:
    """A run, or several that are trained as one, got further."""

    run_ids: tuple[str, ...]
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A run came to a result ("done", "diverged") or was stopped ("interrupted")."""

    run_id: str
    status: str
    metrics: Mapping[str, float | None]
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A run failed and is not tried again by this command."""

    run_id: str
    error: str


@dataclass(frozen=True)
class Retried:
    """A run failed for a reason that may not come back; it is tried again, from its checkpoint."""

    run_id: str
    error: str


@dataclass(frozen=True)
class Separated:
    """Runs that were to be trained as one came to no result that way; each is executed alone."""

    run_ids: tuple[str, ...]
    error: str


PENDING = "pending"
"""The status of a run without a record."""

Event = Waiting | Planned | Started | Progressed | Finished | Failed | Retried | Separated


@dataclass(frozen=True)
class CommandSummary:
    """How every run of the plan stands after the command; "pending" where nothing is recorded."""

    statuses: Mapping[str, str]
    signal: int | None = None
    """The number of the signal that stopped the command, if one did."""
    then: str = ""
    """What a search asks for once all runs have a result; empty where nothing follows."""
    seen: Snapshot | None = None
    """What the store held and holds, where the command executed nothing."""

    @property
    def interrupted(self) -> bool:
        """Whether the command was asked to stop."""
        return self.signal is not None

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Runs per status."""
        return Counter(self.statuses.values())
