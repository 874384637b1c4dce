"""Does what a page of the documentation says: its files, lines and commands, in a copy of the repository's code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PARTS = {"petlsparse": "petlsparse", "cli": "petlsparse/_cli", "recipes": "petlsparse/_recipes"}
"""Folder of the repository -> where it is in an installed package."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"# (\S+\.\w+)(?:, in (\w+))?\n")


def blocks(text: str) -> list[tuple[str, str]]:
    """Every block of code of a page: its language and what it holds."""
    return [(language, code) for language, code in _BLOCK.findall(text)]


def follow(page: Path, folder: Path) -> str:
    """Do all that a page says, in its order, in a folder; returns what its commands print.

    A block whose first line is a comment with a path is that file; with `path, in NAME` its lines are added to the
    literal dict `NAME` there. What stands behind `$` in a block of the language `console` is a command. Other blocks
    of Python are run. Raises AssertionError where anything of it fails.
    """
    for part, place in PARTS.items():
        ignore = shutil.ignore_patterns("__pycache__", "_cli", "_recipes")
        shutil.copytree(REPOSITORY / part, folder / place, ignore=ignore, dirs_exist_ok=True)
    printed = []
    for language, code in blocks(page.read_text()):
        place = _PLACE.match(code)
        if place:
            _write(folder / place[1], place[2], code[place.end() :])
        elif language == "python":
            printed.append(_run([sys.executable, "-c", code], folder))
        elif language == "console":
            printed += [_run(shlex.split(line), folder) for line in re.findall(r"^\$ (.*)$", code, re.MULTILINE)]
    return "".join(printed)


def _write(path: Path, name: str | None, code: str) -> None:
    if name is None:
        assert not path.exists(), f"{path} exists"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    before, start, rest = path.read_text().partition(f"\n{name}")
    assert start, f"there is no {name} in {path}"
    opening, brace, entries = rest.partition("{\n")
    path.write_text(before + start + opening + brace + code + entries)


def _run(words: list[str], folder: Path) -> str:
    if words[0] == "petlsparse":
        words = [sys.executable, "-c", "from petlsparse._cli import main; main()", *words[1:]]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout
