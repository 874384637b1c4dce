"""Does what a page of the documentation says: its files, lines and commands, in a copy of the repository's code."""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PARTS = {"petlsparse": "petlsparse", "cli": "petlsparse/_cli", "recipes": "petlsparse/_recipes"}
"""Folder of the repository -> where it is in an installed package."""

PRINTED = "printed.txt"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"# (\S+\.\w+)(?:, in (\w+))?\n")

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["timm", "pandas", "pyarrow.parquet", "scipy.stats"])  # which take most of a page's time
Step = tuple[list[str], str]
"""Arguments of petlsparse, or code."""


def blocks(text: str) -> list[tuple[str, str]]:
    """Every block of code of a page: its language and what it holds."""
    return [(language, code) for language, code in _BLOCK.findall(text)]


def follow(page: Path, folder: Path) -> str:
    """Do all that a page says, in its order, in a folder; returns what its commands print.

    A block whose first line is a comment with a path is that file; with `path, in NAME` its lines are added to the
    literal dict `NAME` there. What stands behind `$` in a block of the language `console` is a command of petlsparse.
    Other blocks of Python are run. Raises AssertionError where anything of it fails.

    Commands and code that follow each other share a process, which trains, too.
    """
    _copy(folder)
    printed, steps = [], list[Step]()
    for language, code in blocks(page.read_text()):
        place = _PLACE.match(code)
        if place:
            printed.append(_do(steps, folder))
            steps = []
            _write(folder / place[1], place[2], code[place.end() :])
        elif language == "python":
            steps.append(([], code))
        elif language == "console":
            steps += [(shlex.split(line), "") for line in re.findall(r"^\$ petlsparse (.*)$", code, re.MULTILINE)]
    return "".join([*printed, _do(steps, folder)])


def _copy(folder: Path) -> None:
    """The code by links, with what Python made of it: nothing is copied and compiled but what a page changes."""
    for part, place in PARTS.items():
        ignore = shutil.ignore_patterns("_cli", "_recipes")
        shutil.copytree(REPOSITORY / part, folder / place, copy_function=os.symlink, ignore=ignore, dirs_exist_ok=True)


def _write(path: Path, name: str | None, code: str) -> None:
    if name is None:
        assert not path.exists(), f"{path} exists"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    before, start, rest = path.read_text().partition(f"\n{name}")
    assert start, f"there is no {name} in {path}"
    opening, brace, entries = rest.partition("{\n")
    path.unlink()  # a link to the repository's
    path.write_text(before + start + opening + brace + code + entries)


def _do(steps: Sequence[Step], folder: Path) -> str:
    if not steps:
        return ""
    process = FORKS.Process(target=_execute, args=(steps, folder, dict(os.environ)))
    process.start()
    process.join()
    printed = (folder / PRINTED).read_text()
    assert process.exitcode == 0, f"{steps}\n{printed}"
    return printed


def _execute(steps: Sequence[Step], folder: Path, environment: dict[str, str]) -> None:
    """Do these in this process, which has no petlsparse yet, with the code in the folder."""
    with (folder / PRINTED).open("w") as printed:
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
    os.environ.update(environment | {"COLUMNS": "200"})
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    from petlsparse._cli import main
    from petlsparse.launch import plan
    from petlsparse.launch.in_process import InProcessLauncher

    # A worker would import anew what this process has.
    plan.LocalLauncher = lambda slots: InProcessLauncher(slots[0].device, lambda *_: None)
    for arguments, code in steps:
        if code:
            exec(code, {"__name__": "__main__"})
            continue
        sys.argv = ["petlsparse", *arguments]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
