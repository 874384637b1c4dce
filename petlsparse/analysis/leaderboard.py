"""Which score foretells what an adapter on an edge gains, once single edges have been trained."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from petlsparse.adapters.edges import Edge
from petlsparse.analysis.quantities import known
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.score_maps import ScoreMap, rank_correlation, score_maps
from petlsparse.tracking.snapshot import Snapshot

TASK = ("data_name", "backbone_name", "data_fingerprint", "backbone_fingerprint", "forward_fingerprint")
"""What scored and trained edges have to have in common, by columns of the `runs` table."""

FEWEST = 10
"""Trained edges below which nothing is said of a score (own choice)."""

REGRET_AT = (1, 3, 10)
"""The best of how many edges is looked at."""


@dataclass(frozen=True)
class Standing:
    """How one score did on one task.

    Attributes:
        data, backbone: the task.
        score: its name; "another seed" is how well trained edges foretell themselves.
        correlation: Spearman's, of the score with the mean test accuracy of the edges that were trained.
        regret: k -> percentage points between the best of all edges and the best of the k with the highest score.
        edges: how many were trained.
        seeds: least and most runs that the accuracy of an edge is the mean of.
    """

    data: str
    backbone: str
    score: str
    correlation: float
    regret: Mapping[int, float]
    edges: int
    seeds: tuple[int, int]


def leaderboard(seen: Snapshot, runs: Runs) -> list[Standing]:
    """Task by task, the scores in the order of their correlation; of tasks with at least FEWEST trained edges.

    Trained edges are runs of adapters with one edge; where these differ in other settings, such as the rank, each such
    set is a task of its own.
    """
    trained = _trained(runs)
    found: list[Standing] = []
    for task, accuracies in trained.items():
        if len(accuracies) < FEWEST:
            continue
        maps = score_maps(seen, runs.split_by(*TASK)[task[0]])
        standings = [standing(each, accuracies) for each in maps]
        if (own := _of_another_seed(task[0], accuracies)) is not None:
            standings.append(own)
        found += sorted(standings, key=lambda each: -each.correlation if math.isfinite(each.correlation) else math.inf)
    return found


def _trained(runs: Runs) -> dict[tuple[tuple[object, ...], str], dict[Edge, dict[int, float]]]:
    """(task, other settings) -> edge -> seed -> test accuracy."""
    found: dict[tuple[tuple[object, ...], str], dict[Edge, dict[int, float]]] = {}
    settings = [
        name
        for name in runs.columns
        if name.startswith(("method_", "optimizer_", "schedule_", "training_"))
        and not name.startswith(("method_placement", "method_scor"))
    ]
    for row in runs.where("method_kind", ("adapters",)).where("status", ("done",)):
        edges = json.loads(row["edges"] or "[]")
        accuracy = known(row.get("test_accuracy"))
        if len(edges) == 1 and accuracy is not None and row.get("role") != "candidate":
            task = tuple(row.get(name) for name in TASK)
            others = json.dumps([row.get(name) for name in settings], default=str)
            found.setdefault((task, others), {}).setdefault(Edge(*edges[0]), {})[row["seed"]] = accuracy
    return found


def standing(scored: ScoreMap, accuracies: Mapping[Edge, Mapping[int, float]]) -> Standing:
    """How a score does, given seed -> test accuracy of the edges that were trained."""
    return _standing(
        scored.score,
        (str(scored.about["data_name"]), str(scored.about["backbone_name"])),
        {edge: scored.values[edge.source][edge.target] for edge in accuracies},
        {edge: fmean(of_seeds.values()) for edge, of_seeds in accuracies.items()},
        accuracies,
    )


def _standing(
    score: str,
    task: tuple[str, str],
    values: Mapping[Edge, float],
    gains: Mapping[Edge, float],
    accuracies: Mapping[Edge, Mapping[int, float]],
) -> Standing:
    edges = sorted(gains)
    ranked = sorted(edges, key=lambda edge: -values[edge])  # of equals the first by source, then by target
    best = max(gains.values())
    seeds = [len(of_seeds) for of_seeds in accuracies.values()]
    return Standing(
        *task,
        score,
        rank_correlation([values[edge] for edge in edges], [gains[edge] for edge in edges]),
        {k: best - max(gains[edge] for edge in ranked[:k]) for k in REGRET_AT},
        len(edges),
        (min(seeds), max(seeds)),
    )


def _of_another_seed(task: Sequence[object], accuracies: Mapping[Edge, Mapping[int, float]]) -> Standing | None:
    """What a seed foretells of the mean of the others, averaged over seeds; None unless all edges have the same two."""
    seeds = sorted(set.intersection(*(set(of_seeds) for of_seeds in accuracies.values())))
    if len(seeds) < 2:
        return None
    each = [
        _standing(
            "another seed",
            (str(task[0]), str(task[1])),
            {edge: of_seeds[seed] for edge, of_seeds in accuracies.items()},
            {edge: fmean(of_seeds[other] for other in seeds if other != seed) for edge, of_seeds in accuracies.items()},
            accuracies,
        )
        for seed in seeds
    ]
    return Standing(
        each[0].data,
        each[0].backbone,
        "another seed",
        fmean(one.correlation for one in each),
        {k: fmean(one.regret[k] for one in each) for k in REGRET_AT},
        each[0].edges,
        each[0].seeds,
    )
