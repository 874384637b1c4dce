"""What a result rests on besides its settings: its fingerprints, and where two of them differ.

A finished run whose fingerprints differ from those of what is there now is *stale*.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from petlsparse.recipe.schema import setting_columns
from petlsparse.tracking.record import Record


class Fingerprint(NamedTuple):
    """What one of the fingerprints is of."""

    words: str
    short: str
    """Heads the column of a table."""
    named_by: str
    """The setting that names it, as a column."""


FINGERPRINTS: Mapping[str, Fingerprint] = MappingProxyType(
    {
        "data_fingerprint": Fingerprint("the training or validation data", "train/val data", "data_name"),
        "test_fingerprint": Fingerprint("the test data", "test data", "data_name"),
        "backbone_fingerprint": Fingerprint("the weights of the backbone", "weights", "backbone_name"),
        "forward_fingerprint": Fingerprint("the backbone's forward pass", "forward pass", "backbone_name"),
        "source_fingerprint": Fingerprint("the code of your own files", "own code", "method_criterion"),
    }
)
"""By column of the runs table. The values are hashes of content: of equal content at any place they are equal."""


def fingerprints_of(row: Mapping[str, Any]) -> dict[str, str]:
    """What is known of what a run rests on, by column, from its row of the runs table.

    Random weights are left out: they are drawn from the run's seed, which is a setting.
    """
    known = {name: str(row[name]) for name in FINGERPRINTS if row.get(name) is not None}
    if row.get("backbone_pretrained") is False:
        known.pop("backbone_fingerprint", None)
    return known


def differing(row: Mapping[str, Any], current: Mapping[str, str]) -> tuple[str, ...]:
    """The columns in which a run differs from the fingerprints of what is there now; what is unknown never does."""
    return tuple(name for name, value in fingerprints_of(row).items() if current.get(name, value) != value)


def row_of(record: Record) -> dict[str, Any]:
    """What of a record's row in the runs table says what it rests on: identity, settings and provenance."""
    identity = {"run_id": record.run_id, "study": record.study, "status": record.status}
    return setting_columns(record.settings) | record.provenance | identity
