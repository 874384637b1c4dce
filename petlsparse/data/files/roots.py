"""Where data sets are looked for on disk. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from petlsparse.errors import Problem, UserError
from petlsparse.homes import cache_home, expanded

VARIABLE = "PETLSPARSE_DATA"
SYSTEM = Path("/usr/share/datasets")


def roots() -> tuple[Path, ...]:
    """The folders to look in, first match wins: those in PETLSPARSE_DATA, then the usual places."""
    named = [expanded(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return tuple(dict.fromkeys([*named, Path("data"), cache_home() / "data", SYSTEM]))


def locate_file(prefix: str, reference: str) -> Path:
    """The file or folder a reference means: a path, else a name below one of the roots. UserError where none is."""
    candidates = [expanded(reference), *(root / reference for root in roots())]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        ways = (
            f"give its path: {prefix}/path/to/it",
            "add the folder that contains it to PETLSPARSE_DATA",
            "place or link it below ./data",
        )
        raise missing(f"{prefix}{reference}", [f"{reference}"], ways)
    return found


def missing(name: str, wanted: Iterable[str], supply: Iterable[str]) -> UserError:
    """The error for data that are not on this machine: what was looked for, where, and how to supply it."""
    lines = [
        "not found on this machine",
        *(f"  looked for {what}" for what in wanted),
        f"  in {', '.join(str(root) for root in roots())}",
        "  to supply it, either",
        *(f"  {number}. {way}" for number, way in enumerate(supply, start=1)),
    ]
    return UserError(Problem("\n".join(lines), where=name, absent=True))
