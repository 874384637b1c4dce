"""Functions in files of the user's: what they take is looked at when a recipe is read, whatever they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import load_recipe
from petlsparse.recipe.fields import FUNCTIONS, GIVEN, OneOf

SPARSE = """
study = "dst-sweep"
[run]
data = {{ name = "digits" }}
network = {network}
method = {{ kind = "dst", density = 0.1, criterion = {criterion}, growth = {growth} }}
optimizer = {{ name = "sgd", lr = 0.1 }}
training = {{ duration = "1 epoch" }}
[search]
name = {search}
"""
ADAPTERS = """
study = "adapter-search"
[run]
data = {{ name = "digits" }}
method = {{ kind = "adapters", placement = {placement} }}
optimizer = {{ name = "sgd", lr = 0.1 }}
training = {{ duration = "1 epoch" }}
"""
DEFAULTS = {"network": '"mlp"', "criterion": '"mest"', "growth": '"random"', "search": '"grid"'}
KINDS = {
    "network": ("network", "(input_shape, classes, *, ...)"),
    "criterion": ("criterion", "(active, *, ...)"),
    "growth": ("growth rule", "(weights, *, ...)"),
    "placement": ("placement", "(nodes, *, ...)"),
    "search": ("search", "(recipe, *, ...)"),
}


def read(key: str, function: str) -> Any:
    text = ADAPTERS.format(placement=function) if key == "placement" else SPARSE.format(**DEFAULTS | {key: function})
    Path("r.toml").write_text(text)
    return load_recipe("r.toml")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "def many(one, two, three, *, scale: float = 1.0): ...\n"
        "def one(only, *, scale: float = 1.0): yield\n"
        "def two(first, second, *, scale: float = 1.0): ...\n"
        "def any(*given, scale: float = 1.0): yield\n"
    )


def test_every_kind_of_function_says_what_it_is_given() -> None:
    assert set(GIVEN) == set(FUNCTIONS)
    for kind, registry in FUNCTIONS.items():
        for name in registry:
            assert OneOf(kind).model(name)  # takes that


@pytest.mark.parametrize("key", KINDS)
def test_a_function_with_other_positional_arguments_is_refused_with_those_expected(key: str) -> None:
    with pytest.raises(UserError) as caught:
        read(key, '"mine.py:many"')
    (problem,) = caught.value.problems
    expected = KINDS[key][1]
    assert problem.message == (
        '"mine.py:many" takes (one, two, three, *, scale=1.0); '
        f"it should take {expected}, settings keyword-only (after *)"
    )
    where = "search.name" if key == "search" else {"network": "run.network"}.get(key, f"run.method.{key}")
    assert where in problem.where


@pytest.mark.parametrize("key", KINDS)
def test_a_function_that_takes_what_it_is_given_by_any_name_is_accepted(key: str) -> None:
    fitting = "two" if key == "network" else "one"
    for name in (fitting, "any"):
        recipe = read(key, f'{{ name = "mine.py:{name}" }}' if key != "search" else f'"mine.py:{name}"')
        assert "mine.py" in str(recipe.search if key == "search" else recipe.runs[0].flat())


def test_settings_of_ones_own_vary_like_any_other() -> None:
    Path("r.toml").write_text(SPARSE.format(**DEFAULTS | {"criterion": '"mine.py:one"'}))
    recipe = load_recipe("r.toml", axes=["method.criterion.scale=0.5,1.0", "method.density=0.1,0.2"])
    assert recipe.varies == ("method.density", "method.criterion.scale")
