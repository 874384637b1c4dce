"""A placement built edge by edge, each the best on validation beside those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from petlsparse.adapters.edges import Edge, EdgeKind
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.methods import AdaptersSettings
from petlsparse.recipe.schema import Run
from petlsparse.searches.choosing import (
    TrainOn,
    edges_of,
    finals,
    groups_of,
    require_validation,
    score_of,
    what_follows,
    with_edges,
)
from petlsparse.searches.search import Batch, Search
from petlsparse.settings import Count

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe


@dataclass
class Growing:
    """A placement that is being built, for one configuration of the recipe."""

    runs: Sequence[Run]
    """One for each seed; what they have besides edges is kept."""
    left: list[Edge]
    """Edges that may still be taken, the most promising first."""
    edges: list[Edge] = field(default_factory=list)

    def candidates(self) -> dict[Edge, tuple[Run, ...]]:
        """Next edge -> the runs that try it beside those that were taken."""
        return {edge: tuple(with_edges(run, [*self.edges, edge]) for run in self.runs) for edge in self.left}


def greedy(
    recipe: Recipe,
    *,
    count: Count,
    keep: Count | None = None,
    stride: Count = 1,
    edge_kind: EdgeKind = "any",
    repeats: Count = 5,
    train_on: TrainOn = "train",
) -> Search:
    """Forward selection: the edge that is best on validation, then the one that is best beside it, and so on.

    Every placement is trained from the start, whichever it grew from. What the recipe compares besides placements
    (rank, data, learning rate) has a placement each; other methods are trained with the fresh seeds. Of equals the
    first by source, then by target, is taken; an edge of which a run diverged is not.

    Args:
        recipe: of its placements, all but the edges is kept; those that differ in these alone are one.
        count: edges of the placement.
        keep: after the first step only so many edges are tried, the best ones of the step before; all unless given.
        stride: between the nodes that are read or written, from node 0 on.
        edge_kind: the kind of edges.
        repeats: fresh seeds that the placement is trained with in the end.
        train_on: the part of the data that it is trained on then.

    Raises:
        UserError: there is no placement or no validation, fewer edges than are to be taken, or of every candidate a run
            diverged.
    """
    groups = [list(runs) for group in groups_of(recipe) for runs in group.values()]
    placed = {with_edges(runs[0], []).run_id: runs for runs in groups if isinstance(runs[0].method, AdaptersSettings)}
    if not placed:
        raise UserError("greedy builds placements, and the recipe has no method with one: method.kind")
    require_validation("greedy", (runs[0] for runs in placed.values()))
    growing = [Growing(runs, edges_of(runs[0], edge_kind, stride)) for runs in placed.values()]
    fewest = min(len(each.left) for each in growing)
    if fewest < count:
        raise UserError(Problem(f"more than the {fewest} edges that there are", "search.count", str(count)))
    if keep is not None and keep < count:
        raise UserError(Problem("fewer than are to be taken", "search.keep", str(keep)))
    others = [runs[0] for runs in groups if not isinstance(runs[0].method, AdaptersSettings)]
    for step in range(1, count + 1):
        tried = [each.candidates() for each in growing]
        batch = tuple(run for candidates in tried for runs in candidates.values() for run in runs)
        what = f"edge {step + 1} of {count}" if step < count else what_follows(len(growing) + len(others), repeats)
        results = yield Batch(batch, "candidate", what)
        for each, candidates in zip(growing, tried, strict=True):
            scored = [(edge, score_of(runs, results)) for edge, runs in candidates.items()]
            known = [(edge, score) for edge, score in scored if score is not None]
            if not known:
                raise UserError("greedy has nothing to choose: of every candidate a run diverged")
            best, *rest = (edge for edge, _ in sorted(known, key=itemgetter(1), reverse=True))  # equals stay in order
            each.edges.append(best)
            each.left = sorted(rest[: None if keep is None else keep - step])
    chosen = [with_edges(each.runs[0], each.edges) for each in growing]
    yield Batch(tuple(finals(recipe, [*others, *chosen], repeats, train_on)), "final")
