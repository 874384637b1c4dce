"""Which runs of a plan are handed to a worker together, to be trained as one."""

from __future__ import annotations

import resource
from collections.abc import Callable, Hashable, Sequence

from petlsparse.errors import Problem, UserError
from petlsparse.recipe.execution import CohortSize
from petlsparse.recipe.schema import Run

MAX_COHORT = 500
"""Runs in one cohort, where the limit of open files allows as many."""

SHARE_OF_FILES = 0.5
"""Of the files a process may have open (usually 1024): a worker holds a lock, and so a file, for every run."""


def cohorts(
    runs: Sequence[Run], key: Callable[[Run], Hashable | None], *, workers: int, size: CohortSize = "auto"
) -> list[list[Run]]:
    """All runs in cohorts, those that are to train alone in cohorts of one.

    Runs with the same key are dealt out in order, evenly, to all workers, in as few rounds as `size` allows; runs
    whose key is None are alone. A cohort's place is that of its key's first run.

    Raises:
        UserError: for a size below one.
    """
    if size == "off":
        return [[run] for run in runs]
    if size != "auto" and size < 1:
        raise UserError(Problem("must be at least 1", where="cohort", value=str(size)))
    largest = _largest() if size == "auto" else min(size, _largest())
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        common = key(run)
        groups.setdefault(("alone", run.run_id) if common is None else ("as one", common), []).append(run)
    return [part for group in groups.values() for part in _parts(group, workers, largest)]


def _largest() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_COHORT if files == resource.RLIM_INFINITY else max(1, min(MAX_COHORT, int(SHARE_OF_FILES * files)))


def _parts(runs: list[Run], workers: int, largest: int) -> list[list[Run]]:
    """Consecutive parts whose sizes differ by one at most: one for each worker in every round."""
    rounds = -(-len(runs) // (workers * largest))
    count = min(len(runs), workers * rounds)
    return [runs[len(runs) * i // count : len(runs) * (i + 1) // count] for i in range(count)]
