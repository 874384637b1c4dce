"""Recipes: TOML files that expand into runs, checked whole before anything is trained."""

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.loading import Recipe, load_recipe, parse_run
from petlsparse.recipe.recipe_file import Launch, Output
from petlsparse.recipe.schema import AdapterRun, Run, SparseRun
from petlsparse.recipe.shipped import header, shipped_recipes

__all__ = [
    "AdapterRun",
    "Duration",
    "Launch",
    "Output",
    "Recipe",
    "Run",
    "SparseRun",
    "header",
    "load_recipe",
    "parse_run",
    "shipped_recipes",
]
