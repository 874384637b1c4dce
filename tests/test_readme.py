"""What the README shows works: its recipe is the shipped one, its code runs on a store, its commands exist."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import typer.main
from typer.core import TyperGroup

from petlsparse._cli.app import app
from petlsparse.launch.events import Event, Failed
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import load_recipe
from petlsparse.tracking.store import Store
from tests.pages import blocks

TEXT = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    """The one block of code in a language."""
    (found,) = (code for of, code in blocks(TEXT) if of == language)
    return found


def test_the_recipe_line_by_line_is_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "excerpt.toml"
    path.write_text(block("toml"))
    shown, shipped = (load_recipe(name) for name in (path, "dst-smoke"))
    assert shown.runs == shipped.runs
    assert len(shown.runs) == 24


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the results of a few steps of the smoke recipe."""
    folder = tmp_path_factory.mktemp("readme")
    recipe = load_recipe("dst-smoke", sets=["training.duration=30 steps", "data.train_examples=500"], seeds="1")
    recipe = replace(recipe, launch=recipe.launch.overridden({"workers": 0, "cohort": "off"}))
    events: list[Event] = []
    store = Store.create(folder / "results" / "dst-smoke")
    summary = execute_plan(recipe, store, device="cpu", on_event=events.append)
    # What goes wrong in a run is recorded, not raised, and would be seen below as accuracies that are not there.
    assert [event.error for event in events if isinstance(event, Failed)] == []
    assert summary.counts == {"done": 8}
    return folder


def test_the_pandas_lines_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    *lines, last = block("python").strip().splitlines()
    variables: dict[str, object] = {}
    exec("\n".join(lines), variables)
    table = eval(last, variables)
    assert list(table.columns) == ["mean", "std", "count"]
    assert table["count"].sum() == 8


def test_the_query_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    rows = duckdb.sql(block("sql")).fetchall()
    assert len(rows) == 4 * 3  # static, and three criteria, by layers of which none is dense
    assert all(0 < explored <= 1 for *_, explored in rows)


def commands() -> list[str]:
    """Every line that is typed, and every command in running text or a table."""
    typed = re.findall(r"^    (petlsparse .*?)(?:  +#.*)?$", TEXT, re.MULTILINE)
    return [*typed, *(code for code in re.findall(r"`(petlsparse [^`]+)`", TEXT) if "..." not in code)]


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_readme_is_one(line: str) -> None:
    _, *words = shlex.split(line.replace("[STUDY]", "").replace("[DIR]", ""))
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words:
        command = command.commands[words.pop(0)]
    given = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert given <= {name for parameter in command.params for name in parameter.opts}
