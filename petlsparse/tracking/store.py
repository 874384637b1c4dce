"""A store: one results folder with the plan, a folder per run, and the tables compacted from the runs' records.

plan.json                       the recipe and the ids of its runs, in order, of the latest command
runs/<run_id>/record.json       the run's outcome: the truth
runs/<run_id>/topology.parquet  its bulk rows (also edges.parquet), written before the record that counts them
runs/<run_id>/log.txt           what it printed; checkpoint.safetensors and progress.json while it is running
cache/                          values of frozen networks, while a command runs
runs.parquet ...                the tables; made from the records whenever they are missing, damaged or old
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from petlsparse.errors import Problem, UserError
from petlsparse.tracking.atomic import TEMPORARY, write_json
from petlsparse.tracking.lock import Holder, acquire, hold
from petlsparse.tracking.record import SCHEMA_VERSION, CorruptRecord, Record, refuse_newer
from petlsparse.tracking.tables import PARTS


@dataclass(frozen=True)
class Plan:
    """What a command set out to do: a recipe and the ids of its runs, in order."""

    recipe: str
    run_ids: tuple[str, ...] = ()
    text: str = ""
    """The recipe file as written."""
    resolved: Mapping[str, Any] | None = None
    """The recipe after `extends` and overrides."""


class Store:
    """Access to a results folder. Holds no state but its path, so any number may exist for one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path | str) -> Store:
        """The store at `path`, made if need be. Raises UserError when it cannot be written."""
        store = cls(Path(path))
        with store._writing():
            (store.path / "runs").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=store.path):
                pass  # a folder may exist and yet be read-only
        return store

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """The existing store at `path`, for reading. Raises UserError when there is none."""
        store = cls(Path(path))
        if not any((store.path / name).exists() for name in ("runs", "plan.json", "runs.parquet")):
            problem = "not a results folder" if store.path.exists() else "no such folder"
            raise UserError(Problem(f"{problem}: expected what --out of a command names", where=str(path)))
        return store

    # -- paths and locks ---------------------------------------------------------------------------------------------

    def run_dir(self, run_id: str) -> Path:
        """The folder of a run, whether it exists or not."""
        return self.path / "runs" / run_id

    def table(self, name: str) -> Path:
        """The file of a table, whether it exists or not."""
        return self.path / f"{name}.parquet"

    @property
    def stop_file(self) -> Path:
        """Workers stop at their next step while this file exists."""
        return self.path / ".stop"

    def lock(
        self, *, wait: float | None = None, on_wait: Callable[[Holder | None], None] = lambda _: None
    ) -> AbstractContextManager[None]:
        """Keep other commands out; see `lock.hold`."""
        return hold(self.path, wait=wait, on_wait=on_wait)

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[Path]:
        """The run's folder, made if need be, for one writer alone.

        Only a worker that outlived its command can hold it, and that only for the moment it takes to notice.
        """
        with self._writing():
            self.run_dir(run_id).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.run_dir(run_id) / ".lock")
        acquire(lock, -1)
        try:
            yield self.run_dir(run_id)
        finally:
            lock.release()

    # -- plan --------------------------------------------------------------------------------------------------------

    def write_plan(self, plan: Plan) -> None:
        """Remember what is to be done."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "recipe": plan.recipe,
            "text": plan.text,
            "resolved": plan.resolved,
            "run_ids": list(plan.run_ids),
        }
        with self._writing():
            write_json(self.path / "plan.json", document)

    def read_plan(self) -> Plan | None:
        """The latest command's plan; None when there is none to be read. Raises UserError if it is too new."""
        path = self.path / "plan.json"
        try:
            document = json.loads(path.read_bytes())
            refuse_newer(document["schema_version"], str(path))
            return Plan(document["recipe"], tuple(document["run_ids"]), document["text"], document["resolved"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    # -- records -----------------------------------------------------------------------------------------------------

    def record(self, run_id: str) -> Record | None:
        """The run's record, or None when there is none.

        A record that cannot be read, or whose rows are missing, is renamed to `record.json.corrupt` with a warning:
        its run is to do again. Raises UserError for a record of a newer schema.
        """
        path = self.run_dir(run_id) / "record.json"
        try:
            record = Record.from_json(path.read_bytes(), where=str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(Problem(f"cannot read the record: {error.strerror}", str(path))) from error
        except CorruptRecord as error:
            self.set_aside(run_id, str(error))
            return None
        if missing := [name for name in record.rows if not self.part(run_id, name).exists()]:
            self.set_aside(run_id, f"{missing[0]}.parquet is missing")
            return None
        return record

    def records(self) -> Iterator[Record]:
        """All records: those of the plan in its order, then the others by run id."""
        for run_id in self.run_ids():
            if (record := self.record(run_id)) is not None:
                yield record

    def run_ids(self) -> list[str]:
        """Ids of the runs that have a record: those of the plan in its order, then the others sorted."""
        plan = self.read_plan()
        found = sorted(path.parent.name for path in (self.path / "runs").glob("*/record.json"))
        planned = [run_id for run_id in (plan.run_ids if plan else ()) if run_id in set(found)]
        return list(dict.fromkeys([*planned, *found]))

    def part(self, run_id: str, table: str) -> Path:
        """The file of a run's rows of a table, whether it exists or not."""
        return self.run_dir(run_id) / f"{table}.parquet"

    def write_record(self, record: Record, rows: Mapping[str, Sequence[Mapping[str, Any]]] = {}) -> None:
        """Write the record with its bulk rows by table, which replace those it counted before.

        The rows go first: whenever the writer dies, a record never stands without them.
        """
        rows = {name: rows[name] for name in PARTS if rows.get(name)}
        with self._writing():
            self.run_dir(record.run_id).mkdir(parents=True, exist_ok=True)
            if rows:
                from petlsparse.tracking.parts import write_part

                for name, content in rows.items():
                    write_part(self.part(record.run_id, name), PARTS[name], record.run_id, content)
            document = record.to_json() | {"rows": {name: len(content) for name, content in rows.items()}}
            write_json(self.run_dir(record.run_id) / "record.json", document)

    def set_aside(self, run_id: str, reason: str) -> None:
        """Rename a damaged record, so that nothing of it is lost and its run counts as to do."""
        path = self.run_dir(run_id) / "record.json"
        warnings.warn(f"{path}: {reason}; set aside, the run counts as to do", stacklevel=2)
        with suppress(OSError):  # in a folder that may only be read, the damaged record is passed over each time
            path.replace(path.with_name("record.json.corrupt"))

    def tidy(self, finished: Iterable[str]) -> None:
        """Remove what killed writers left: temporary files, and the working files of finished runs.

        For the holder of the lock. Who makes a table meanwhile to read it does without the file.
        """
        leftovers = list(self.path.glob(TEMPORARY))
        for run_id in finished:
            folder = self.run_dir(run_id)
            leftovers += [folder / "checkpoint.safetensors", folder / "progress.json", *folder.glob(TEMPORARY)]
        with self._writing():
            for path in leftovers:
                path.unlink(missing_ok=True)

    def fingerprint(self) -> str:
        """Changes with the plan's order and with any record: what tables were made from."""
        state = hashlib.sha256(f"schema {SCHEMA_VERSION}\n".encode())
        for run_id in self.run_ids():
            try:
                stat = (self.run_dir(run_id) / "record.json").stat()
            except FileNotFoundError:
                continue
            state.update(f"{run_id} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return state.hexdigest()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(Problem(f"cannot write the results folder: {reason}", str(self.path))) from error
