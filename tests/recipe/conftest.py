import textwrap
from pathlib import Path

import pytest

from petlsparse.errors import Problem, UserError
from petlsparse.recipe import load_recipe

SPARSE = """\
study = "dst-sweep"
[run]
data = { name = "digits" }
network = { name = "mlp" }
optimizer = { name = "sgd", lr = 0.1 }
training = { duration = "2 epochs" }
"""

ADAPTER = """\
study = "adapter-search"
[run]
data = { name = "digits" }
optimizer = { name = "adamw", lr = 0.001 }
training = { duration = "2 epochs" }
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write a recipe file."""

    def write(text: str, name: str = "recipe") -> Path:
        file = tmp_path / f"{name}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    return write


@pytest.fixture
def load(write):
    """Load a recipe from its text."""

    def load(text: str, name: str = "recipe", **flags):
        return load_recipe(write(text, name), **flags)

    return load


@pytest.fixture
def sparse(load):
    """Load a dst-sweep recipe to which `text` adds what its required settings leave open."""
    return lambda text, **flags: load(SPARSE + textwrap.dedent(text), **flags)


@pytest.fixture
def adapter(load):
    """Load an adapter-search recipe to which `text` adds what its required settings leave open."""
    return lambda text, **flags: load(ADAPTER + textwrap.dedent(text), **flags)


@pytest.fixture
def problems():
    """The problems of a recipe that must not load."""

    def problems(loader, text: str, **flags) -> tuple[Problem, ...]:
        with pytest.raises(UserError) as caught:
            loader(text, **flags)
        return caught.value.problems

    return problems
