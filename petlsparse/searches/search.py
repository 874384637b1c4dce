"""What a search is: it asks for batches of runs, and is told what came of them on validation."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Literal, TypeAlias

from petlsparse.errors import Problem, UserError
from petlsparse.recipe.schema import Run
from petlsparse.registry import calling, resolve
from petlsparse.searches import SEARCHES

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe
    from petlsparse.tracking.store import Store

Role = Literal["candidate", "final"]


@dataclass(frozen=True)
class Batch:
    """Runs that a search asks for at once."""

    runs: tuple[Run, ...]
    role: Role | None = None
    """Candidates are there to choose by; what a study reports are the others."""
    then: str = ""
    """In words, what the search asks for once all of these have a result; empty where nothing follows."""


@dataclass(frozen=True)
class Result:
    """What a search is told of a run."""

    status: str
    """"done" or "diverged"."""
    metrics: Mapping[str, float | None]
    """Columns of the `runs` table, those of the test split left out: nothing is chosen by it."""


Search: TypeAlias = Generator[Batch, Mapping[str, Result], None]
"""Is told, by run id, the results of the batch that it asked for."""


def search_of(recipe: Recipe) -> Search:
    """The search that a recipe names; its first batch may raise UserError if it makes no sense."""
    name = recipe.search.name
    function = resolve(SEARCHES, name, "search")
    if not isgeneratorfunction(function):
        raise UserError(Problem(f'"{name}" is no generator function: a search yields its batches', "search.name"))
    return _told(name, function(recipe, **recipe.search.arguments()))


def _told(name: str, search: Search) -> Search:
    """The search, what goes wrong in it told as the user's own where it is."""
    with calling(name, "search.name"):
        yield from search


def drive(search: Search, execute: Callable[[Batch], Mapping[str, Result] | None]) -> None:
    """Hand batch after batch to `execute` and tell the search its results, to its end or until there are none."""
    with closing(search), suppress(StopIteration):
        results = execute(next(search))
        while results is not None:
            results = execute(search.send(results))


def results_of(batch: Batch, store: Store) -> Mapping[str, Result] | None:
    """What the search is told of a batch; None where nothing follows it, or where a run has no result yet."""
    results = {}
    for run in batch.runs if batch.then else ():
        record = store.record(run.run_id)
        if record is None or not record.final:
            return None
        metrics = {name: value for name, value in record.metrics.items() if not name.startswith("test_")}
        results[run.run_id] = Result(record.status, metrics)
    return results if batch.then else None
