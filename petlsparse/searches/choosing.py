"""What searches that choose on validation have in common: who is compared, by what, and what is trained in the end."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from petlsparse.adapters.edges import Edge, edge_space
from petlsparse.backbones import nodes_of
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.fields import OneOf
from petlsparse.recipe.identity import run_ids
from petlsparse.recipe.methods import AdaptersSettings, ScoringSettings
from petlsparse.recipe.optimization import SELECT_BY
from petlsparse.recipe.schema import Run
from petlsparse.searches.search import Result

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe

TrainOn = Literal["train", "train+val"]
Configurations = Mapping[str, Sequence[Run]]
"""Runs that differ in nothing but their seed, by the id that they would have with seed 0; in the recipe's order."""


def groups_of(recipe: Recipe) -> list[Configurations]:
    """What is compared with each other: the configurations of an arm, for each data set and model."""
    groups: dict[Hashable, dict[str, list[Run]]] = {}
    for run in recipe.runs:
        model = run.backbone if run.study == "adapter-search" else run.network
        key = recipe.arm(run.run_id), run.data.name, model.name, run.training.select_by
        group = groups.setdefault(key, {})
        group.setdefault(next(run_ids(run, [0])), []).append(run)
    return list(groups.values())


def score_of(runs: Sequence[Run], results: Mapping[str, Result]) -> float | None:
    """The mean over seeds of the validation metric that selects weights; None where a run diverged."""
    done = [run for run in runs if results[run.run_id].status == "done"]
    values = [results[run.run_id].metrics.get(f"val_{run.training.select_by}_best") for run in done]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(runs) else None


def require_validation(search: str, runs: Iterable[Run]) -> None:
    """Raise UserError where there is nothing to choose by."""
    if any(run.data.train_on != "train" for run in runs):
        message = f"{search} chooses on validation, which is trained on here"
        raise UserError(Problem(message, "data.train_on", "train+val"))


def finals(recipe: Recipe, chosen: Sequence[Run], repeats: int, train_on: TrainOn) -> Iterator[Run]:
    """What was chosen, with the lowest seeds from 1 on that no run of the recipe has."""
    used = {run.seed for run in recipe.runs}
    fresh = list(islice((number for number in count(1) if number not in used), repeats))
    return (run for best in chosen for run in _trained_on(train_on, best).with_seeds(fresh))


def what_follows(chosen: int, repeats: int) -> str:
    """In words, what is trained once so many are chosen."""
    these = "the best on validation" if chosen == 1 else f"the {chosen} best on validation"
    seeds = "a fresh seed" if repeats == 1 else f"{repeats} fresh seeds"
    runs = "1 run" if repeats * chosen == 1 else f"{repeats * chosen} runs"
    return f"{these}, with {seeds}: {runs}"


def edges_of(run: Run, edge_kind: str, stride: int) -> list[Edge]:
    """All edges of a kind between every `stride`-th node of a run's backbone, from node 0 on."""
    assert run.study == "adapter-search"
    space = edge_space(nodes_of(run.backbone.name), edge_kind)
    return [edge for edge in space if edge.source % stride == edge.target % stride == 0]


def with_edges(run: Run, edges: Iterable[tuple[int, int]]) -> Run:
    """A run of adapters on these edges, whatever placement chose its own."""
    assert isinstance(run.method, AdaptersSettings)
    unscored = {name: ScoringSettings.model_fields[name].default for name in ScoringSettings.model_fields}
    unscored |= {name: AdaptersSettings.model_fields[name].default for name in ("score", "scoring_seed")}
    placement = OneOf("placement")({"name": "explicit", "edges": sorted(edges)})
    return run.model_copy(update={"method": run.method.model_copy(update={"placement": placement, **unscored})})


def _trained_on(part: str, run: Run) -> Run:
    changes: dict[str, Any] = {"data": run.data.model_copy(update={"train_on": part})}
    if part != "train":  # nothing is selected any more
        changes["training"] = run.training.model_copy(update={"select_by": SELECT_BY})
    return run.model_copy(update=changes)
