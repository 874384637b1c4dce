"""What make does besides calling the command."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HALF = """#!/bin/sh
[ "$1" = -c ] && exit 0
mkdir -p "$3/bin"
touch "$3/bin/python"
exit 1
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what make needs."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_half_an_environment_is_not_kept(folder: Path) -> None:
    (folder / "python").write_text(HALF)  # fails after it has begun, as venv does where ensurepip is missing
    (folder / "python").chmod(0o755)
    assert make(folder, "demo", "PYTHON=./python").returncode == 2
    assert not (folder / ".venv").exists()


def test_tables_are_of_all_results_but_those_set_aside(folder: Path) -> None:
    for name in ("dst-smoke", "adapter-smoke", "dst-smoke.before-20260101-000000", "empty"):
        (folder / "results" / name).mkdir(parents=True)
        if name != "empty":
            (folder / "results" / name / "runs.parquet").touch()
    *_, command = make(folder, "--dry-run", "tables").stdout.splitlines()
    assert sorted(command.split()[2:]) == ["results/adapter-smoke", "results/dst-smoke"]
    *_, command = make(folder, "--dry-run", "tables", "OUT=elsewhere").stdout.splitlines()
    assert command.split()[2:] == ["elsewhere"]


@pytest.mark.parametrize("target", ["dst-sweep", "adapter-search", "demo", "tables", "smoke"])
def test_further_flags_go_to_the_command(target: str, folder: Path) -> None:
    *_, command = make(folder, "--dry-run", target, "RECIPE=x", "OUT=y", "ARGS=--seeds 1-5 --json").stdout.splitlines()
    assert command.endswith(" --seeds 1-5 --json")


def test_help_names_the_targets(folder: Path) -> None:
    text = make(folder, "help").stdout
    assert all(f"make {target}" in text for target in ("demo", "dst-sweep", "adapter-search", "tables", "test"))
