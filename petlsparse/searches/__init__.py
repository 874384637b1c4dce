"""Searches: which runs a recipe trains, given what came of those before.

A search is a generator function, given the recipe; its keyword-only arguments are its settings, `[search]` in a
recipe. It yields batches of runs and is told their results: what it asks for follows from recipe and results alone, so
that killed and started again it arrives where it was.
"""

from collections.abc import Mapping
from types import MappingProxyType

SEARCHES: Mapping[str, str] = MappingProxyType(
    {
        "grid": "petlsparse.searches.grid:grid",
        "best-of": "petlsparse.searches.best_of:best_of",
        "halving": "petlsparse.searches.halving:halving",
        "greedy": "petlsparse.searches.greedy:greedy",
        "each-edge": "petlsparse.searches.each_edge:each_edge",
    }
)
"""Name -> "module:function"."""
