"""Every help page at 80 columns: nothing cut, no word broken, and examples that work."""

import shlex
from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperGroup

from petlsparse._cli import _console
from petlsparse._cli.app import app
from petlsparse.recipe import load_recipe

from .conftest import Cli

ROOT = typer.main.get_command(app)


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command by what is typed, groups too."""
    yield path, command
    for name, inner in command.commands.items() if isinstance(command, TyperGroup) else ():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(ROOT))
everywhere = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "petlsparse")


def words(text: str) -> str:
    return " ".join(text.split())


@everywhere
def test_help_is_whole_at_80_columns(path: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_console.out, "width", 80)
    text = cli(*path, "--help").out
    assert max(map(len, text.splitlines())) <= 80
    assert "<" not in text.replace("<recipe name>", "")
    for param in COMMANDS[path].params:
        assert words(param.help or "") in words(text), "no help, or a word was broken"
        if param.param_type_name == "option" and not param.is_flag:
            assert f"{param.opts[-1]} {param.metavar}" in text


@everywhere
def test_help_ends_in_examples_that_the_command_takes(
    path: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_console.out, "width", 80)
    _, found, examples = cli(*path, "--help").out.partition("\nExamples\n")
    assert found
    for example in examples.strip().splitlines():
        program, *arguments = shlex.split(example)
        assert program == "petlsparse"
        assert tuple(arguments[: len(path)]) == path
        command = ROOT
        while isinstance(command, TyperGroup) and arguments:
            command = command.commands[arguments.pop(0)]
        given = command.make_context(example, arguments).params  # refuses what the command does not take
        if "sets" in given:
            load_recipe(given["recipe"], sets=given["sets"], axes=given["axes"], seeds=given["seeds"])


@everywhere
def test_switches_are_off_until_they_are_given(path: tuple[str, ...]) -> None:
    switches = [param for param in COMMANDS[path].params if param.param_type_name == "option" and param.is_flag]
    assert not [param.name for param in switches if param.default]
