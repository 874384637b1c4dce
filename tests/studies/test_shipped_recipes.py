"""The methods of every shipped recipe can be built, on this machine's data."""

from __future__ import annotations

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import load_recipe, shipped_recipes
from petlsparse.studies import describe

DRAWN_FOR_A_MINUTE = "pretraining-mix"


@pytest.fixture(scope="module")
def described() -> set[object]:
    """What was built for another recipe."""
    return set()


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_each_method_of_a_shipped_recipe_can_be_built_and_costed(name: str, described: set[object]) -> None:
    one_each = {(run.data.name, run.method.kind): run for run in load_recipe(name).runs}
    for (data, _), run in one_each.items():
        built = run.study, run.data, run.network if run.study == "dst-sweep" else run.backbone, run.method
        if data == DRAWN_FOR_A_MINUTE or built in described:
            continue
        described.add(built)
        if getattr(run.method, "score", None) is not None:  # a few images will do to choose edges
            run = run.model_copy(update={"method": run.method.model_copy(update={"scoring_images": 8})})
        try:
            cost = describe(run).cost
        except UserError as error:
            if "three" in str(error) or "PETLSPARSE_DATA" in str(error):
                pytest.skip(f"{data} is not on this machine")
            raise
        if run.method.kind == "score":
            assert cost["trainable_parameters"] == cost["training_flops"] == 0
            assert 0 < cost["inference_flops"] < cost["scoring_flops"]
            continue
        assert 0 < cost["trainable_parameters"] <= cost["total_parameters"]
        assert 0 < cost["inference_flops"] < cost["training_flops"]
