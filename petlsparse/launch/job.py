"""One execution of one run: what is to be done, how it ended, and the record of it. Plain data, for any launcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from petlsparse.launch.log import add_line
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store

ERROR_CHARACTERS = 4000
"""How much of a traceback's end a record keeps; the log has all of it."""


@dataclass(frozen=True)
class Job:
    """One execution of one run: plain data, so that any launcher can carry it to any process."""

    run_id: str
    settings: dict[str, Any]
    """The run as `Run.settings()` gives it."""
    recipe: str
    studies: Mapping[str, str]
    """study name -> "module:attribute" of its `Study`."""
    store: str
    attempt: int
    """Which execution of this run this is, over all commands; 1 for the first."""
    execution: Execution
    output: Output
    device: str = "cpu"
    threads: int = 1
    provenance: dict[str, Any] = field(default_factory=dict)
    """What all runs of the command share."""
    own_output: bool = True
    """Whether what the run prints goes to its log."""

    @property
    def folder(self) -> Path:
        """Where everything about the run is."""
        return Store(Path(self.store)).run_dir(self.run_id)

    @property
    def progress_file(self) -> Path:
        """How far it is, while it is being executed."""
        return self.folder / "progress.json"

    @property
    def checkpoint(self) -> Path:
        """What it continues from, if it is there."""
        return self.folder / "checkpoint.safetensors"

    @property
    def log(self) -> Path:
        """What it prints, and what happens to it."""
        return self.folder / "log.txt"

    def add_to_log(self, text: str) -> None:
        """Add a line to the log."""
        add_line(self.log, text)

    def record(self, status: str, about: Mapping[str, Any], **content: Any) -> Record:
        """The record of this execution; `about` is provenance besides that of the command."""
        return Record(
            run_id=self.run_id,
            study=self.settings["study"],
            recipe=self.recipe,
            settings=self.settings,
            status=status,
            provenance={**self.provenance, **about},
            **content,
        )


@dataclass(frozen=True)
class Outcome:
    """How an execution ended. `transient`: the reason of a failure may not come back (memory, files).

    "pending" is the status of a run that came to no result because of another run of its cohort or of an interruption;
    no record tells of such an execution.
    """

    status: str
    error: str | None = None
    transient: bool = False
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0


Outcomes = Mapping[str, Outcome]
"""By run id."""


def failure(job: Job, reason: str, about: Mapping[str, Any] = MappingProxyType({})) -> Record:
    """The record of an execution that failed."""
    return job.record("failed", about, attempts=job.attempt, error=reason[-ERROR_CHARACTERS:])
