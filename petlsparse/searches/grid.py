"""The search of a recipe that names no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petlsparse.searches.search import Batch, Search

if TYPE_CHECKING:
    from petlsparse.recipe.loading import Recipe


def grid(recipe: Recipe) -> Search:
    """All runs of the recipe, in one batch."""
    yield Batch(recipe.runs)
