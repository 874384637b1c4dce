"""The command line as a function, and a recipe small enough to train in a second."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from petlsparse._cli import main

RECIPE = """\
study = "dst-sweep"
description = "a recipe of the tests"
seeds = 2

[run.data]
name = "digits"
train_examples = 100

[run.network]
name = "mlp"
widths = [8]

[run.optimizer]
name = "sgd"
lr = 0.1

[run.training]
batch_size = 50
duration = "2 epochs"

[[arms]]
method = { kind = "dense" }

[[arms]]
method = { kind = "dst", density = 0.2, criterion = "magnitude", growth = "random", update_period = 2 }
"""


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


Cli = Callable[..., Answer]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process; its working directory is the test's."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # what main() replaces

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["petlsparse", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe `tiny.toml` in the working directory, a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path
