"""Where data sets are looked for on disk, and what is said when one is not there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from petlsparse.errors import Problem, UserError

VARIABLE = "PETLSPARSE_DATA"


def roots() -> tuple[Path, ...]:
    """The folders to look in, first match wins: those in PETLSPARSE_DATA, then the usual places."""
    named = [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    usual = [Path("data"), Path.home() / ".cache/petlsparse/data", Path("/usr/share/datasets")]
    return tuple(dict.fromkeys(named + usual))


@dataclass(frozen=True)
class OnDisk:
    """A data set known by its files: which, in which folders below a root, and how to come by them."""

    name: str
    folders: tuple[str, ...]
    """Relative to a root; a root may also be the folder itself."""
    files: tuple[str, ...]
    """All of these must be there, as they are or with ``.gz`` added."""
    supply: tuple[str, str, str]
    """Three ways to make the data available."""

    def find(self) -> Path | None:
        """The first folder that holds every file."""
        candidates = (root / folder for root in roots() for folder in (*self.folders, "."))
        return next((folder for folder in candidates if all(_exists(folder / file) for file in self.files)), None)

    def locate(self) -> Path:
        """Like ``find``, but missing data raise a UserError that says where they were looked for."""
        return self.find() or _raise(missing(self.name, self.files, self.folders, self.supply))


def missing(name: str, files: tuple[str, ...], folders: tuple[str, ...], supply: tuple[str, ...]) -> UserError:
    """The error for data that are not on this machine."""
    lines = [
        "the data set is not on this machine",
        f"looked for: {', '.join(files)}",
        f"in the folders: {', '.join(folders)}",
        f"of: {', '.join(str(root) for root in roots())}",
        "to supply it:",
        *(f"  {number}. {way}" for number, way in enumerate(supply, start=1)),
    ]
    return UserError(Problem("\n".join(lines), where=name))


def _exists(path: Path) -> bool:
    return path.is_file() or path.with_name(path.name + ".gz").is_file()


def _raise(error: UserError) -> Path:
    raise error
