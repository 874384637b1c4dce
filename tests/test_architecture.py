"""Imports point down, the fast rooms load nothing heavy, every registered name resolves."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType

import pytest

from petlsparse._cli import main
from petlsparse.launch import plan
from petlsparse.launch.in_process import InProcessLauncher

PACKAGE = Path(__file__).parent.parent / "petlsparse"

# What each room may import, directly. What is in no room is open to all.
ALLOWED = {
    "recipe": {
        "adapters",
        "data",
        "metrics",
        "networks",
        "scores",
        "searches",
        "sparsity",
    },  # the literal dicts of names
    "data": set(),
    "metrics": set(),
    "networks": set(),
    "backbones": {"networks"},
    "sparsity": set(),
    "adapters": {"backbones"},
    "scores": {"adapters", "backbones"},
    "tracking": {"recipe"},
    "training": {"data", "metrics", "tracking"},
    "cohorts": {"adapters", "backbones", "data", "recipe", "sparsity", "training"},
    "analysis": {"adapters", "tracking", "recipe"},
    "searches": {"adapters", "backbones", "recipe", "tracking"},
    "launch": {"cohorts", "recipe", "searches", "tracking", "studies", "training"},
    "studies": {
        "adapters",
        "backbones",
        "cohorts",
        "data",
        "networks",
        "recipe",
        "scores",
        "sparsity",
        "tracking",
        "training",
    },
}
ONE_RUN = """
study = "dst-sweep"
[run]
data = { name = "digits", train_examples = 100 }
network = { name = "mlp", widths = [8] }
method = { kind = "dst", density = 0.3, criterion = "magnitude", growth = "random", update_period = 2 }
optimizer = { name = "sgd", lr = 0.1 }
training = { batch_size = 50, duration = "2 epochs" }
"""
OPEN = {"errors", "homes", "registry", "settings"}


def rooms_imported_by(path: Path) -> Iterator[str]:
    """The rooms of petlsparse a module imports, relative imports resolved."""
    package = ("petlsparse", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "petlsparse" else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "petlsparse" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_imports_point_down(room: str) -> None:
    offences = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in (PACKAGE / room).rglob("*.py")
        for other in rooms_imported_by(path)
        if other != room and other not in ALLOWED[room] | OPEN and not other.startswith("_")
    ]
    assert not offences


def test_recipes_import_names_of_other_rooms_and_nothing_else() -> None:
    own = {"recipe", *OPEN}
    read = {
        node.module
        for path in (PACKAGE / "recipe").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("petlsparse.")
    }
    others = {module for module in read if module.split(".")[1] not in own}
    assert others == {f"petlsparse.{room}" for room in ALLOWED["recipe"]}  # the dicts in their `__init__`
    for room in ALLOWED["recipe"]:
        assert set(rooms_imported_by(PACKAGE / room / "__init__.py")) <= OPEN


def test_every_room_has_its_rule() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert rooms == set(ALLOWED)


REGISTRIES = [
    ("adapters", "PLACEMENTS"),
    ("data", "AUGMENTATIONS"),
    ("data", "DATASETS"),
    ("networks", "NETWORKS"),
    ("scores", "SCORES"),
    ("searches", "SEARCHES"),
    ("sparsity", "CRITERIA"),
    ("sparsity", "DISTRIBUTIONS"),
    ("sparsity", "DROP_SCHEDULES"),
    ("sparsity", "GROWTHS"),
    ("studies", "STUDIES"),
    ("metrics", "METRICS"),
]


@pytest.mark.parametrize(("room", "registry"), REGISTRIES)
def test_every_registered_name_resolves(room: str, registry: str) -> None:
    from petlsparse.registry import resolve

    entries = getattr(import_module(f"petlsparse.{room}"), registry)
    assert entries
    found = {name: getattr(entry, "reader", entry) for name, entry in entries.items()}
    for name in found:
        assert resolve(found, name, registry) is not None


def test_recipes_and_vocabulary_load_without_torch_timm_or_pandas() -> None:
    script = (
        "import sys; from petlsparse.recipe import *; from petlsparse.recipe.reference import reference; reference();"
        "print([m for m in ('torch', 'timm', 'peft', 'pandas', 'pyarrow', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_takes_the_way_that_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, and so watched by a profiler's hook."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    table = page.partition("## One run's way through the house")[2].partition("\n## ")[0]
    way = re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)
    assert len(way) > 12
    codes = {id(pkgutil.resolve_name(f"petlsparse.{name}").__code__): name for name in way}
    met: dict[str, None] = {}

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and id(frame.f_code) in codes:
            met.setdefault(codes[id(frame.f_code)])

    (tmp_path / "one.toml").write_text(ONE_RUN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "LocalLauncher", lambda slots: InProcessLauncher("cpu", lambda *_: None))
    monkeypatch.setattr(sys, "argv", ["petlsparse", "dst-sweep", "one.toml", "--cohort", "off"])
    sys.setprofile(watch)
    try:
        with pytest.raises(SystemExit, match="0"):
            main()
    finally:
        sys.setprofile(None)
    assert list(met) == way
