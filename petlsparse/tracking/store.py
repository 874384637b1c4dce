"""A store: one results folder with the plan, a folder per run, and the tables compacted from the runs' records.

plan.json                       the recipes of all commands, and the ids of their runs in order
runs/<run_id>/record.json       the run's outcome: the truth
runs/<run_id>/topology.parquet  its bulk rows (also edges.parquet), written before the record that counts them
runs/<run_id>/log.txt           evaluations, prints; checkpoint.safetensors and progress.json while it is running
runs/<run_id>/stale-1/          all that was there before, of a result that was made with other data or weights
cache/                          values of frozen networks, while a command runs
runs.parquet ...                the tables; made from the records whenever they are missing, damaged or old
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from petlsparse.errors import Problem, UserError
from petlsparse.recipe.identity import RUN_ID_PATTERN
from petlsparse.tracking.atomic import TEMPORARY, rename_with_suffix, write_json
from petlsparse.tracking.document import check_document
from petlsparse.tracking.lock import Holder, acquire, hold
from petlsparse.tracking.plan import Plan, Plans
from petlsparse.tracking.record import CorruptRecord, Record
from petlsparse.tracking.tables import PARTS

if TYPE_CHECKING:
    import pyarrow as pa


Stamp = tuple[int, int]
"""Size in bytes and time of the last change, in ns, of a record: what it is recognised by without being read."""

OnCorrupt = Callable[[str, str], None]
"""Told of a record that cannot be used: its run id, and the reason."""


class Store:
    """Access to a results folder. Holds no state but its path, so any number may exist for one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path | str) -> Store:
        """The store at `path`, made if need be. Raises UserError when it cannot be written."""
        store = cls(Path(path))
        try:
            str(store.path.absolute()).encode()
        except UnicodeEncodeError as error:
            problem = "its name is not UTF-8 text: safetensors and parquet cannot write there"
            raise UserError(Problem(problem, where=str(path))) from error
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
        """Remember what is to be done, besides what earlier commands did. For the holder of the lock.

        A search writes a plan for every batch of runs, with which that of its recipe grows.

        A `plan.json` that is damaged is renamed to `plan.json.corrupt` with a warning.
        """
        path = self.path / "plan.json"
        with self._writing():
            try:
                plans = Plans.from_json(path.read_bytes(), str(path))
            except FileNotFoundError:
                plans = Plans()
            except ValueError as error:
                _rename_corrupt(path, str(error))
                plans = Plans()
            if (grown := plans.then(plan)) != plans:
                write_json(path, grown.to_json())

    def read_plans(self) -> Plans:
        """What all commands set out to do; empty where `plan.json` is missing or damaged.

        Raises UserError if it is too new or cannot be read.
        """
        path = self.path / "plan.json"
        with self._reading(path):
            try:
                return Plans.from_json(path.read_bytes(), str(path))
            except (FileNotFoundError, NotADirectoryError, ValueError):
                return Plans()

    # -- records -----------------------------------------------------------------------------------------------------

    def record(self, run_id: str, on_corrupt: OnCorrupt | None = None) -> Record | None:
        """The run's record, or None when there is none.

        A record that is not whole, is that of another run, or whose rows are missing counts as none, and `on_corrupt`
        is told: by default that is `warn_corrupt`; the holder of the lock may `rename_corrupt`. Raises UserError for a
        record of a newer schema, and for one that cannot be read: that it is damaged is not known then.
        """
        path, on_corrupt = self.run_dir(run_id) / "record.json", on_corrupt or self.warn_corrupt
        with self._reading(path):
            try:
                record = Record.from_json(path.read_bytes(), where=str(path))
            except (FileNotFoundError, NotADirectoryError):
                return None
            except CorruptRecord as error:
                on_corrupt(run_id, str(error))
                return None
        if record.run_id != run_id:
            on_corrupt(run_id, f"is the record of run {record.run_id}")
            return None
        if missing := [name for name in record.rows if not self.part(run_id, name).exists()]:
            on_corrupt(run_id, f"{missing[0]}.parquet is missing")
            return None
        return record

    def records(self, on_corrupt: OnCorrupt | None = None) -> Iterator[Record]:
        """All records: those of the plans in their order, then the others by run id; `on_corrupt` as in `record`."""
        for run_id in self.run_ids():
            if (record := self.record(run_id, on_corrupt)) is not None:
                yield record

    def run_ids(self) -> list[str]:
        """Ids of the runs that have a record: those of the plans in their order, then the others sorted."""
        return list(self.stamps())

    def stamps(self, plans: Plans | None = None) -> dict[str, Stamp]:
        """The stamp of every record by run id, in the order of `run_ids`; `plans`, where they are read already."""
        with self._reading(self.path / "runs"):
            found = {run_id: stamp for run_id in sorted(self._folders()) if (stamp := self.stamp(run_id)) is not None}
        planned = [run_id for run_id in (plans or self.read_plans()).run_ids if run_id in found]
        return {run_id: found[run_id] for run_id in dict.fromkeys([*planned, *found])}

    def _folders(self) -> list[str]:
        """The ids of the runs that have a folder; one that no run id names is none's."""
        try:
            return [name for name in os.listdir(self.path / "runs") if RUN_ID_PATTERN.fullmatch(name)]  # noqa: PTH208 - quick
        except (FileNotFoundError, NotADirectoryError):
            return []

    def stamp(self, run_id: str) -> Stamp | None:
        """That of one record; None when there is none."""
        try:
            stat = os.stat(f"{self.path}/runs/{run_id}/record.json")  # noqa: PTH116 - quick: there may be 100,000
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stat.st_size, stat.st_mtime_ns

    def rows(self, record: Record, table: str) -> pa.Table | None:
        """The rows of a table that the record counts; None when they are damaged. UserError if they cannot be read."""
        from petlsparse.tracking.parts import read_part

        path = self.part(record.run_id, table)
        with self._reading(path):
            return read_part(path, PARTS[table], record.run_id, record.rows[table])

    def part(self, run_id: str, table: str) -> Path:
        """The file of a run's rows of a table, whether it exists or not."""
        return self.run_dir(run_id) / f"{table}.parquet"

    def write_record(self, record: Record, rows: Mapping[str, Sequence[Mapping[str, Any]]] = {}) -> None:
        """Write the record with its bulk rows by table, which replace those it counted before.

        The rows go first: whenever the writer dies, a record never stands without them. Raises ValueError for a
        record that could not be read again.
        """
        rows = {name: rows[name] for name in PARTS if rows.get(name)}
        document = record.to_json() | {"rows": {name: len(content) for name, content in rows.items()}}
        check_document(document)
        with self._writing():
            self.run_dir(record.run_id).mkdir(parents=True, exist_ok=True)
            if rows:
                from petlsparse.tracking.parts import write_part

                for name, content in rows.items():
                    write_part(self.part(record.run_id, name), PARTS[name], record.run_id, content)
            write_json(self.run_dir(record.run_id) / "record.json", document)

    def warn_corrupt(self, run_id: str, reason: str) -> None:
        """Warn of a damaged record; it stays as it is."""
        warnings.warn(f"{self.run_dir(run_id) / 'record.json'}: {reason}; passed over", stacklevel=3)

    def rename_corrupt(self, run_id: str, reason: str) -> None:
        """Rename a damaged record, so that nothing of it is lost and its run is to do. For the holder of the lock."""
        with self._writing():
            _rename_corrupt(self.run_dir(run_id) / "record.json", f"{reason}; the run is to do again")

    def archive_result(self, run_id: str) -> Path:
        """Move all that is in a run's folder into a folder `stale-N` there, so that the run is to do again.

        Returns the new folder. The record goes last: whenever this is interrupted, nothing is lost, and a record
        without its rows does not count.
        """
        folder = self.run_dir(run_id)
        aside = next(path for n in count(1) if not (path := folder / f"stale-{n}").exists())
        content = [path for path in folder.iterdir() if path.name != ".lock" and not path.name.startswith("stale-")]
        with self._writing():
            aside.mkdir()
            for path in sorted(content, key=lambda path: path.name == "record.json"):
                path.rename(aside / path.name)
        return aside

    def tidy(self) -> None:
        """Remove temporary files that killed writers left beside the tables. For the holder of the lock."""
        with self._writing():
            _remove(str(self.path), set())

    def tidy_run(self, run_id: str) -> None:
        """Remove such files of a finished run, and those that only a working one needs. For the holder of the lock."""
        with self._writing():
            _remove(f"{self.path}/runs/{run_id}", {"checkpoint.safetensors", "progress.json"})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(Problem(f"cannot write the results folder: {reason}", str(self.path))) from error

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(Problem(f"cannot be read: {error.strerror or error}", str(path))) from error


def _remove(folder: str, names: Collection[str]) -> None:
    """Remove those files and all temporary ones; a folder of such a name is left alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            ours = entry.name in names or fnmatchcase(entry.name, TEMPORARY)
            if ours and not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)


def _rename_corrupt(path: Path, reason: str) -> None:
    aside = rename_with_suffix(path, "corrupt")
    warnings.warn(f"{path}: {reason}; set aside as {aside.name}", stacklevel=3)
