"""The map of a backbone: one adapter, on every edge in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petlsparse.adapters.edges import EdgeKind
from petlsparse.errors import UserError
from petlsparse.recipe.methods import AdaptersSettings
from petlsparse.searches.choosing import edges_of, with_edges
from petlsparse.searches.search import Batch, Search
from petlsparse.settings import Count

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe


def each_edge(recipe: Recipe, *, stride: Count = 1, edge_kind: EdgeKind = "any") -> Search:
    """Every single edge in the place of each placement of the recipe; its other methods as they are.

    With stride 3 a ViT-B/16 has 81 edges, those of figure 3 of arXiv 2410.15858: 9 sequential, 36 long-range, 36
    recurrent and no parallel one.

    Args:
        recipe: of its placements, all but the edges is kept; those that differ in these alone are one.
        stride: between the nodes that are read or written, from node 0 on.
        edge_kind: the kind of edges.

    Raises:
        UserError: the recipe has no method with a placement.
    """
    if not any(isinstance(run.method, AdaptersSettings) for run in recipe.runs):
        raise UserError("each-edge puts single edges in the place of placements, and the recipe has none: method.kind")
    runs = {
        each.run_id: each
        for run in recipe.runs
        for each in (
            [with_edges(run, [edge]) for edge in edges_of(run, edge_kind, stride)]
            if isinstance(run.method, AdaptersSettings)
            else [run]
        )
    }
    yield Batch(tuple(runs.values()))
