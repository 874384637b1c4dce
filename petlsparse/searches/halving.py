"""Successive halving: many candidates trained for a short time, the better ones for longer."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from petlsparse.errors import Problem, UserError
from petlsparse.recipe.durations import Duration
from petlsparse.recipe.schema import Run
from petlsparse.searches.best_of import candidates_of
from petlsparse.searches.choosing import (
    Configurations,
    TrainOn,
    finals,
    require_validation,
    score_of,
    what_follows,
)
from petlsparse.searches.search import Batch, Result, Search
from petlsparse.settings import Count, Index

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe


def halving(
    recipe: Recipe,
    *,
    factor: Annotated[int, Field(ge=2, lt=2**63)] = 2,
    rounds: Count = 3,
    candidates: Count | None = None,
    repeats: Count = 5,
    train_on: TrainOn = "train",
    seed: Index = 0,
) -> Search:
    """Of each arm the configuration that is best on validation in ever longer trainings of ever fewer.

    In the last round candidates are trained as the recipe says, in the one before for a `factor`th of that, and so on;
    from one round to the next the best `factor`th, rounded up, goes on (successive halving, 1502.07943). A training is
    always from the start, with a schedule of its own length, so that what a candidate gets does not depend on when it
    was left behind. N candidates in R rounds cost about N R / factor^(R - 1) whole trainings of each seed, where
    best-of takes N.

    Args:
        recipe: its runs are the candidates, as in best-of.
        factor: how much longer, and how many fewer, from round to round.
        rounds: how many.
        candidates: how many configurations of each arm are tried, drawn by `seed`; all unless given.
        repeats: fresh seeds that the best one is trained with.
        train_on: the part of the data that it is trained on then.
        seed: which drawing of candidates.

    Raises:
        UserError: a candidate has no validation or is trained too briefly to be divided, an arm has fewer
            configurations than are to be tried, or all candidates diverged.
    """
    groups = candidates_of(recipe, candidates, seed)
    searched = [group for group in groups if len(group) > 1]
    for runs in (runs for group in searched for runs in group.values()):
        require_validation("halving", runs)
        _for(runs[0], rounds, factor, 1)  # raises where the first round would be nothing
    alive: list[dict[str, list[Run]]] = [{name: list(runs) for name, runs in group.items()} for group in groups]
    for turn in range(1, rounds + 1) if searched else ():
        tried = [
            {name: [_for(run, rounds, factor, turn) for run in runs] for name, runs in group.items()}
            for group in alive
            if len(group) > 1
        ]
        batch = tuple(run for group in tried for runs in group.values() for run in runs)
        if not batch:
            break
        many = sum(_survivors(group, factor) for group in tried)
        then = f"the best {many} for longer" if turn < rounds else what_follows(len(groups), repeats)
        results = yield Batch(batch, "candidate", then)
        best = iter([_best(group, results, _survivors(group, factor) if turn < rounds else 1) for group in tried])
        alive = [
            {name: runs for name, runs in group.items() if len(group) == 1 or name in chosen}
            for group in alive
            for chosen in ((next(best),) if len(group) > 1 else ({},))
        ]
    chosen = [runs[0] for group in alive for runs in group.values()]
    if not chosen:
        raise UserError("halving has nothing to choose: of every candidate a run diverged")
    yield Batch(tuple(finals(recipe, chosen, repeats, train_on)), "final")


def _for(run: Run, rounds: int, factor: int, turn: int) -> Run:
    """A candidate in a round, counted from 1."""
    whole = run.training.duration
    part, rest = divmod(whole.count, factor ** (rounds - turn))
    if part == 0 or (turn == 1 and rest):
        message = f"cannot be divided by {factor} for each of {rounds - 1} earlier rounds"
        raise UserError(Problem(message, "training.duration", str(whole)))
    training = run.training.model_copy(update={"duration": Duration(part, whole.unit)})
    return run.model_copy(update={"training": training})


def _survivors(group: Mapping[str, object], factor: int) -> int:
    return -(-len(group) // factor)


def _best(group: Configurations, results: Mapping[str, Result], many: int) -> set[str]:
    """The names of so many of the best configurations, the first of equals; without those of which a run diverged."""
    scored = [(name, score) for name, runs in group.items() if (score := score_of(runs, results)) is not None]
    return {name for name, _ in sorted(scored, key=itemgetter(1), reverse=True)[:many]}
