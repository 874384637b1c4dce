"""The configuration best on validation, trained again with fresh seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count, islice
from operator import itemgetter
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from petlsparse.adapters.placements import select_edges
from petlsparse.backbones import nodes_of
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.fields import OneOf
from petlsparse.recipe.identity import run_ids
from petlsparse.recipe.methods import AdaptersSettings
from petlsparse.recipe.optimization import SELECT_BY
from petlsparse.recipe.schema import Run
from petlsparse.searches.search import Batch, Result, Search
from petlsparse.settings import Count, Index

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe

Configurations = Mapping[str, Sequence[Run]]
"""Runs that differ in nothing but their seed, by the id that they would have with seed 0; in the recipe's order."""


def best_of(
    recipe: Recipe,
    *,
    candidates: Count | None = None,
    repeats: Count = 5,
    train_on: Literal["train", "train+val"] = "train",
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
    all_groups = [_distinct(each) for each in _groups(recipe)]
    if problems := list(_too_few(recipe, all_groups, candidates)):
        raise UserError(*problems)
    groups = [_drawn(each, candidates, seed) for each in all_groups]
    tried = [run for group in groups if len(group) > 1 for runs in group.values() for run in runs]
    if any(run.data.train_on != "train" for run in tried):
        raise UserError(
            Problem("best-of chooses on validation, which is trained on here", "data.train_on", "train+val")
        )
    used = {run.seed for run in recipe.runs}
    fresh = list(islice((number for number in count(1) if number not in used), repeats))
    results: Mapping[str, Result] = {}
    if tried:
        these = "the best on validation" if len(groups) == 1 else f"the {len(groups)} best on validation"
        seeds = "a fresh seed" if repeats == 1 else f"{repeats} fresh seeds"
        runs = "1 run" if repeats * len(groups) == 1 else f"{repeats * len(groups)} runs"
        then = f"{these}, with {seeds}: {runs}"
        results = yield Batch(tuple(tried), "candidate", then)
    chosen = [best for group in groups if (best := _best(group, results)) is not None]
    if not chosen:
        raise UserError("best-of has nothing to choose: of every candidate a run diverged")
    yield Batch(tuple(run for best in chosen for run in _trained_on(train_on, best).with_seeds(fresh)), "final")


def _trained_on(part: str, run: Run) -> Run:
    changes: dict[str, Any] = {"data": run.data.model_copy(update={"train_on": part})}
    if part != "train":  # nothing is selected any more
        changes["training"] = run.training.model_copy(update={"select_by": SELECT_BY})
    return run.model_copy(update=changes)


def _groups(recipe: Recipe) -> list[Configurations]:
    """What is compared with each other: the configurations of an arm, for each data set and model."""
    groups: dict[Hashable, dict[str, list[Run]]] = {}
    for run in recipe.runs:
        model = run.backbone if run.study == "adapter-search" else run.network
        key = recipe.arm(run.run_id), run.data.name, model.name, run.training.select_by
        group = groups.setdefault(key, {})
        group.setdefault(next(run_ids(run, [0])), []).append(run)
    return list(groups.values())


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
            edges = select_edges(named.name, nodes_of(run.backbone.name), **named.arguments())
            placement = OneOf("placement")({"name": "explicit", "edges": edges})
            run = run.model_copy(update={"method": run.method.model_copy(update={"placement": placement})})
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
    scored = [(score, runs[0]) for runs in group.values() if (score := _score(runs, results)) is not None]
    return max(scored, key=itemgetter(0))[1] if scored else None


def _score(runs: Sequence[Run], results: Mapping[str, Result]) -> float | None:
    """The mean over seeds of the validation metric that selects weights; None where a run diverged."""
    done = [run for run in runs if results[run.run_id].status == "done"]
    values = [results[run.run_id].metrics.get(f"val_{run.training.select_by}_best") for run in done]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(runs) else None
