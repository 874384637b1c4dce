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
