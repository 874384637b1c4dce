"""Help, version and completion answer at once: nothing heavy is imported for them."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "peft", "transformers", "pandas", "pyarrow", "scipy", "sklearn")
COMMANDS = (
    [],
    ["run"],
    ["adapter-search"],
    ["dst-sweep"],
    ["plan"],
    ["settings"],
    ["compare"],
    ["show"],
    ["status"],
    ["recipes"],
    ["recipes", "ls"],
    ["recipes", "show"],
    ["recipes", "copy"],
    ["recipes", "validate"],
    ["data"],
    ["data", "ls"],
    ["doctor"],
    ["demo"],
)
PROGRAM = """
import sys
from petlsparse._cli import main
sys.argv = ["petlsparse", *sys.argv[1:]]
try:
    main()
finally:
    print("LOADED", *sorted(sys.modules.keys() & set({heavy})), file=sys.stderr)
"""


def imported_by(*arguments: str, heavy: tuple[str, ...] = HEAVY) -> tuple[str, list[str]]:
    """What a command in a fresh process prints, and which of the heavy modules it has imported."""
    program = PROGRAM.format(heavy=heavy)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr.split("LOADED", 1)[1].split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "petlsparse")
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    text, loaded = imported_by(*command, "--help")
    assert "Usage: petlsparse" in text
    assert loaded == []


def test_version() -> None:
    text, loaded = imported_by("--version")
    assert text.startswith("petlsparse ")
    assert loaded == []


def test_settings_are_listed_without_torch() -> None:
    text, loaded = imported_by("settings", "--json")
    assert "method.density" in text
    assert loaded == []


def test_recipes_are_validated_without_torch() -> None:
    text, loaded = imported_by("recipes", "ls")
    assert "dst-smoke" in text
    assert loaded == []
