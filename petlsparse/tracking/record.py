"""One run's record: identity, outcome, settings, metrics, cost and provenance, as one JSON document.

Records are the truth of a store; every table is made from them. The schema has a version: an older record is brought
up to date when it is read, by one pure function per version, and a newer one is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from petlsparse.errors import Problem, UserError
from petlsparse.tracking.document import check_document

SCHEMA_VERSION = 2
OLDEST_READ = 2
"""Records of schema 1, before version 0.3, have settings of other names."""

STATUSES = ("done", "failed", "diverged", "interrupted")
FINAL = ("done", "diverged")
"""Statuses that are a result: such a run is never executed again."""

UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""version -> what makes a record of the next version from one of that version."""


class CorruptRecord(ValueError):
    """The text is not a record: truncated, damaged, or something else."""


@dataclass(frozen=True)
class Record:
    """The outcome of a run, as it stands in `record.json`."""

    run_id: str
    study: str
    recipe: str
    status: str
    settings: dict[str, Any]
    """The run's semantic settings, nested as in the recipe."""
    attempts: int = 1
    """Executions that came to an end: done, diverged or failed. Interrupted ones do not count."""
    error: str | None = None
    """Why the run failed: the end of its traceback, or how its worker died."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    history: list[list[Any]] = field(default_factory=list)
    """[step, epoch, split, metric, value] in the order of recording; value None where it was not a finite number."""
    cost: dict[str, float | None] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    """Rows per part (`topology`, `edges`) stored beside the record: a missing or shortened part is noticed."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r}, expected one of {', '.join(STATUSES)}")

    @property
    def final(self) -> bool:
        """Whether there is a result, so that the run is never executed again."""
        return self.status in FINAL

    def to_json(self) -> dict[str, Any]:
        """A JSON document with `schema_version`; numbers that are not finite become null."""
        return {"schema_version": SCHEMA_VERSION, **_standard(asdict(self))}

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "") -> Record:
        """Parse a record of this or an older schema.

        Raises CorruptRecord when `text` is not a whole record (see `document`), and UserError when its schema is
        none that this version of petlsparse reads. `where` is named in the latter.
        """
        try:
            document = json.loads(text)
            version = document["schema_version"]
            refuse_other(version, where)
            for step in range(version, SCHEMA_VERSION):
                document = UPGRADES[step](document)
            check_document(document)
            return cls(**{name: value for name, value in document.items() if name != "schema_version"})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptRecord(f"not a run's record: {type(error).__name__}: {error}") from error


def refuse_other(version: object, where: str) -> None:
    """Raise UserError for a file of a schema this version of petlsparse does not read; TypeError for no version."""
    if type(version) is not int:
        raise TypeError("the schema version is a whole number")
    if version < OLDEST_READ:
        raise UserError(
            Problem(
                f"written by petlsparse 0.2 or older (schema {version}), whose settings had other names: "
                "use another results folder, and petlsparse 0.2 to read this one",
                where=where,
            )
        )
    if version > SCHEMA_VERSION:
        raise UserError(
            Problem(
                f"written by a newer petlsparse (schema {version}; this version reads up to {SCHEMA_VERSION}): "
                "upgrade petlsparse, or use another results folder",
                where=where,
            )
        )


def _standard(value: Any) -> Any:
    """JSON has no NaN: what is not finite is null, so that every JSON reader can read a record."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _standard(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_standard(item) for item in value]
    return value
