"""The configuration best on validation, trained again with fresh seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING

from petlsparse.adapters.placements import select_edges
from petlsparse.backbones import nodes_of
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.identity import run_ids
from petlsparse.recipe.methods import AdaptersSettings
from petlsparse.recipe.schema import Run
from petlsparse.searches.choosing import (
    Configurations,
    TrainOn,
    finals,
    groups_of,
    require_validation,
    score_of,
    what_follows,
    with_edges,
)
from petlsparse.searches.search import Batch, Result, Search
from petlsparse.settings import Count, Index

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe


def best_of(
    recipe: Recipe,
    *,
    candidates: Count | None = None,
    repeats: Count = 5,
    train_on: TrainOn = "train",
    seed: Index = 0,
) -> Search:
    """Of each arm the configuration best on validation, trained again with fresh seeds.

    Candidates are the recipe's configurations, whatever it varies: drawn placements, learning rates, criteria; of those
    that differ in nothing but how they name the same edges, the first in the recipe. They are compared within an arm,
    on the same data and model. The best one has the highest mean, over the recipe's seeds, of what selects weights on
    validation (`training.select_by`); the first of equals, in the order of the recipe. One of which a run diverged is
    not chosen. Its fresh seeds are the lowest from 1 on that no candidate has. An arm of one configuration has nothing
    to choose, and is trained with the fresh seeds only.

    Args:
        recipe: its runs are the candidates.
        candidates: how many configurations of each arm are tried, drawn by `seed`; all unless given.
        repeats: fresh seeds that the best one is trained with.
        train_on: the part of the data that it is trained on then.
        seed: which drawing of candidates.

    Raises:
        UserError: a candidate has no validation, an arm has fewer configurations than are to be tried, or all
            candidates diverged.
    """
    groups = candidates_of(recipe, candidates, seed)
    tried = [run for group in groups if len(group) > 1 for runs in group.values() for run in runs]
    require_validation("best-of", tried)
    results: Mapping[str, Result] = {}
    if tried:
        results = yield Batch(tuple(tried), "candidate", what_follows(len(groups), repeats))
    chosen = [best for group in groups if (best := _best(group, results)) is not None]
    if not chosen:
        raise UserError("best-of has nothing to choose: of every candidate a run diverged")
    yield Batch(tuple(finals(recipe, chosen, repeats, train_on)), "final")


def candidates_of(recipe: Recipe, number: int | None, seed: int) -> list[Configurations]:
    """So many configurations of each group, all unless given, those that are the same once.

    Raises UserError for a group that has fewer; one without a choice may.
    """
    groups = [_distinct(each) for each in groups_of(recipe)]
    if problems := list(_too_few(recipe, groups, number)):
        raise UserError(*problems)
    return [_drawn(each, number, seed) for each in groups]


def _distinct(group: Configurations) -> Configurations:
    """Of those that are the same, the first."""
    first: dict[str, str] = {}
    for name, runs in group.items():
        first.setdefault(_content(runs[0]), name)
    return {name: group[name] for name in first.values()}


def _content(run: Run) -> str:
    """What a configuration is, however it says so: its id with the edges where a placement is named."""
    if run.study == "adapter-search" and isinstance(run.method, AdaptersSettings):
        named = run.method.placement
        with suppress(Exception):  # of a placement that is not possible: told where runs are held against models
            run = with_edges(run, select_edges(named.name, nodes_of(run.backbone.name), **named.arguments()))
    return next(run_ids(run, [0]))


def _too_few(recipe: Recipe, groups: Sequence[Configurations], wanted: int | None) -> Iterator[Problem]:
    """Groups of which so many candidates cannot be drawn; one without a choice has none."""
    for group in groups:
        if wanted is not None and 1 < len(group) < wanted:
            ((run, *_), *_) = group.values()
            whose = f"arms[{recipe.arm(run.run_id)}]" if recipe.resolved.get("arms") else "the recipe"
            yield Problem(f"more than {whose} has: {len(group)} that differ", "search.candidates", str(wanted))


def _drawn(group: Configurations, number: int | None, seed: int) -> Configurations:
    """So many of the configurations: the same on every machine, and nested, the 12 of a draw being among its 24."""
    ranked = sorted(group, key=lambda name: hashlib.sha256(f"draw {seed}, {name}".encode()).digest())
    drawn = set(ranked[:number])
    return {name: runs for name, runs in group.items() if name in drawn}


def _best(group: Configurations, results: Mapping[str, Result]) -> Run | None:
    """A run of the best configuration, the first of equals; None where a run of each diverged."""
    if len(group) == 1:
        ((run, *_),) = group.values()
        return run
    scored = [(score, runs[0]) for runs in group.values() if (score := score_of(runs, results)) is not None]
    return max(scored, key=itemgetter(0))[1] if scored else None
