"""Help, version and completion answer at once: nothing heavy is imported for them."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from petlsparse.tracking.compaction import compact
from petlsparse.tracking.store import Store

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
import json, sys
from petlsparse._cli import main
for line in json.loads(sys.argv[1]):
    sys.argv = ["petlsparse", *line]
    try:
        main()
    except SystemExit as end:
        print("LOADED", end.code, *sorted(sys.modules.keys() & set({heavy})), flush=True)
"""


def imported_by(*lines: Sequence[str], heavy: Sequence[str] = HEAVY) -> list[tuple[str, list[str]]]:
    """What commands print, one after the other in a fresh process, and which of the heavy modules are imported then."""
    program = PROGRAM.format(heavy=heavy)
    call = [sys.executable, "-c", program, json.dumps(lines)]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    answers = re.findall(r"(.*?)^LOADED 0 ?(.*?)$\n", text, re.DOTALL | re.MULTILINE)
    assert len(answers) == len(lines), text
    return [(said, loaded.split()) for said, loaded in answers]


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[str, list[str]]]:
    lines = [[*command, "--help"] for command in COMMANDS]
    return dict(zip(map(" ".join, COMMANDS), imported_by(*lines), strict=True))


@pytest.mark.parametrize("command", [*map(" ".join, COMMANDS)])
def test_help_imports_nothing_heavy(command: str, helps: dict[str, tuple[str, list[str]]]) -> None:
    text, loaded = helps[command]
    assert f"Usage: petlsparse {command}".rstrip() in text
    assert loaded == []


def test_the_version_settings_and_recipes_are_told_without_torch_and_what_stores_need() -> None:
    needed_by_stores = ("psutil", "filelock")
    answers = imported_by(["--version"], ["settings", "--json"], ["recipes", "ls"], heavy=(*HEAVY, *needed_by_stores))
    for (text, loaded), part in zip(answers, ("petlsparse ", "method.density", "dst-smoke"), strict=True):
        assert part in text
        assert loaded == []


def test_the_status_of_a_store_is_read_without_pandas(tmp_path: Path) -> None:
    compact(Store.create(tmp_path / "empty"))
    ((text, loaded),) = imported_by(["status", str(tmp_path)])
    assert "empty" in text
    assert loaded == ["pyarrow"]
