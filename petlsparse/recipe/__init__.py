"""Recipes: TOML files that expand into runs, checked whole before anything is trained."""

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.fields import HashNeutral, Names
from petlsparse.recipe.schema import AdapterRun, Run, SparseRun

__all__ = ["AdapterRun", "Duration", "HashNeutral", "Names", "Run", "SparseRun"]
