"""What a store held when it was looked at: one pass over its folder, for all who want to know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from petlsparse.tracking.columns import SETTINGS
from petlsparse.tracking.plan import Plans
from petlsparse.tracking.record import SCHEMA_VERSION
from petlsparse.tracking.store import Stamp, Store
from petlsparse.tracking.tables import TABLES


@dataclass(frozen=True)
class Snapshot:
    """A store, its plans, and by what its records are recognised without being read."""

    store: Store
    plans: Plans
    stamps: Mapping[str, Stamp]
    """Of every record, by run id, in the order of `Store.run_ids`."""

    @classmethod
    def of(cls, source: Snapshot | Store | Path | str) -> Snapshot:
        """A snapshot itself; of a store, or a folder, what it holds now. UserError where there is no store."""
        if isinstance(source, Snapshot):
            return source
        store = source if isinstance(source, Store) else Store.open(source)
        plans = store.read_plans()
        return cls(store, plans, store.stamps(plans))

    @cached_property
    def records_digest(self) -> bytes:
        """What tables are made from: the records in their order, their roles, and the columns that are made of them."""
        state, roles = hashlib.sha256(repr((SCHEMA_VERSION, *TABLES.values(), SETTINGS)).encode()), self.plans.roles
        for run_id, (size, changed) in self.stamps.items():
            state.update(f"{run_id} {size} {changed} {roles.get(run_id, '')}\n".encode())
        return state.hexdigest().encode()

    def without(self, run_ids: set[str]) -> Snapshot:
        """The same without the records of some runs."""
        return Snapshot(self.store, self.plans, {each: s for each, s in self.stamps.items() if each not in run_ids})
