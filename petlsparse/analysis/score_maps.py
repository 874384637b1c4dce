"""Maps of scores over all edges, out of the `edges` rows of runs that score, and as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from petlsparse.adapters.edges import Edge
from petlsparse.analysis.quantities import known
from petlsparse.analysis.runs import Runs
from petlsparse.tracking.compaction import read_columns
from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.snapshot import Snapshot

SCORED_BY = ("data_name", "backbone_name", "method_scoring_images", "method_scoring_head", "method_scoring_gradient")
"""What is said of a map, by columns of the `runs` table."""

SAME = (*SCORED_BY, "data_train_examples", "backbone_image_size", "method_scoring_sketch", "method_rank", *FINGERPRINTS)
"""Columns in which the runs that a map is the mean of are equal; they differ in their seed."""


@dataclass(frozen=True)
class ScoreMap:
    """A score of every edge, the mean over seeds.

    Attributes:
        score: its name, with settings that are not the default.
        about: column of SCORED_BY -> value, as one run has them.
        values: n rows, the sources, of n targets.
        seeds: how many runs it is the mean of.
        agreement: mean rank correlation between the maps of two seeds; None of one seed.
        seconds: mean time that a run took, all its scores together.
    """

    score: str
    about: dict[str, object]
    values: list[list[float]]
    seeds: int
    agreement: float | None
    seconds: float | None

    def ranked(self) -> list[tuple[Edge, float]]:
        """Edges and their scores, the best first; of equals the first by source, then by target."""
        nodes = range(len(self.values))
        edges = [(Edge(i, j), self.values[i][j]) for i in nodes for j in nodes]
        return sorted(edges, key=lambda scored: -scored[1])


def score_maps(seen: Snapshot, runs: Runs) -> list[ScoreMap]:
    """The maps of those of these runs of a store that score, in their order; none if none is done."""
    scoring = runs.where("method_kind", ("score",)).where("status", ("done",))
    if not scoring:
        return []
    columns = read_columns(seen, "edges")
    of_run: dict[str, dict[str, dict[Edge, float]]] = {}
    for run_id, source, target, score, value in zip(
        *(columns[name] for name in ("run_id", "source", "target", "score_name", "value")), strict=True
    ):
        of_run.setdefault(run_id, {}).setdefault(score, {})[Edge(source, target)] = value
    return [
        found
        for alike in scoring.split_by(*SAME).values()
        for found in _means(alike, [of_run.get(run_id, {}) for run_id in alike["run_id"]])
    ]


def _means(runs: Runs, scored: Sequence[dict[str, dict[Edge, float]]]) -> Iterator[ScoreMap]:
    first = next(iter(runs))
    seconds = [each for each in runs["wall_seconds"] if known(each) is not None]
    for score in dict.fromkeys(score for each in scored for score in each):
        maps = [each[score] for each in scored if score in each]
        edges = sorted(maps[0])
        nodes = math.isqrt(len(edges))
        values = [[fmean(each[Edge(i, j)] for each in maps) for j in range(nodes)] for i in range(nodes)]
        pairs = [(a, b) for at, a in enumerate(maps) for b in maps[at + 1 :]]
        yield ScoreMap(
            score,
            {name: first.get(name) for name in SCORED_BY},
            values,
            len(maps),
            fmean(rank_correlation([a[e] for e in edges], [b[e] for e in edges]) for a, b in pairs) if pairs else None,
            fmean(seconds) if seconds else None,
        )


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's: the correlation of mean ranks; nan where one of them is constant."""
    a, b = _ranks(one), _ranks(other)
    mean = (len(a) - 1) / 2
    spread = stdev(a) * stdev(b) * (len(a) - 1) if len(a) > 1 else 0.0
    return sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True)) / spread if spread else math.nan


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, equals their mean."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, start = [0.0] * len(values), 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for at in order[start:stop]:
            ranks[at] = (start + stop - 1) / 2
        start = stop
    return ranks


@dataclass(frozen=True)
class HeatMap:
    """A map as text: of each cell a level, 0 the lowest value to 9 the highest.

    Attributes:
        labels: of rows and columns; the first of the nodes that a cell is of.
        levels: rows of cells.
        pool: of how many nodes, each way, a cell is.
        low, high: what 0 and 9 stand for.
    """

    labels: list[str]
    levels: list[list[int]]
    pool: int
    low: float
    high: float


def heat_map(values: Sequence[Sequence[float]], width: int) -> HeatMap:
    """The map in so many columns of text: of a larger one nodes are pooled, and a cell has the best of its values."""
    nodes = len(values)
    pool = next((n for n in range(1, nodes) if _width(range(0, nodes, n)) <= width), nodes)
    starts = range(0, nodes, pool)
    cells = [[max(v for row in values[i : i + pool] for v in row[j : j + pool]) for j in starts] for i in starts]
    low, high = min(map(min, cells)), max(map(max, cells))
    span = high - low or 1.0
    levels = [[round(9 * (value - low) / span) for value in row] for row in cells]
    return HeatMap(list(map(str, starts)), levels, pool, low, high)


def _width(labels: range) -> int:
    """Columns of text: a row's label, and every cell as wide as its label, with a space before it."""
    return len(str(labels[-1])) + sum(len(str(label)) + 1 for label in labels)
