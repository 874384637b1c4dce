"""Every shipped recipe loads, expands, says what it is, and its methods can be built."""

from __future__ import annotations

import re

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import load_recipe
from petlsparse.recipe.shipped import header, shipped_recipes
from petlsparse.studies import describe, names

RECIPES = sorted(shipped_recipes())


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_loads_and_expands_into_distinct_runs(name: str) -> None:
    recipe = load_recipe(name, names=names())
    assert recipe.runs
    assert len({run.run_id for run in recipe.runs}) == len(recipe.runs)
    assert recipe.path.parent.name == recipe.study


@pytest.mark.parametrize("name", RECIPES)
def test_its_header_states_source_command_time_and_result(name: str) -> None:
    text = "\n".join(header(shipped_recipes()[name]))
    for fact in ("source", "command", "time", "result"):
        assert re.search(rf"^#?\s*{fact}\s+\S", text, re.MULTILINE), fact
    assert f"petlsparse {load_recipe(name).study} {name}" in text


@pytest.mark.parametrize("name", RECIPES)
def test_each_of_its_methods_can_be_built_and_costed(name: str) -> None:
    """One run per method; a data set that is not on this machine is told as such, not as a crash."""
    one_each = {str(run.method): run for run in load_recipe(name, names=names()).runs[:40]}
    for run in list(one_each.values())[:12]:
        if run.data.name == "pretraining-mix":
            continue  # takes a minute to draw; tested with the data
        try:
            cost = describe(run)
        except UserError as error:
            assert "data ls" in str(error) or "not found" in str(error)  # noqa: PT017
            return
        assert 0 < cost["trainable_parameters"] <= cost["total_parameters"]
        assert 0 < cost["inference_flops"] < cost["training_flops"]
