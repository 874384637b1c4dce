"""The wheel carries the commands, recipes and data under one name, and the package list is complete."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("petlsparse", "cli", "recipes", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel built from a copy of the sources."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree)
    build = "import setuptools.build_meta as b; b.build_wheel('.')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=tree, check=True, capture_output=True)
    with zipfile.ZipFile(next(tree.glob("*.whl"))) as wheel:
        return wheel.namelist()


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in ROOT.glob("petlsparse/**/__init__.py")}
    assert set(settings["packages"]) == found | set(settings["package-dir"])


def test_only_petlsparse_lands_at_the_top(wheel_names: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"petlsparse"}


def test_every_source_file_is_in_the_wheel(wheel_names: list[str]) -> None:
    places = {"petlsparse": "petlsparse", "cli": "petlsparse/_cli", "recipes": "petlsparse/_recipes"}
    wanted = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in places.items()
        for pattern in ("**/*.py", "**/*.toml", "*/bundled/*")
        for path in (ROOT / folder).glob(pattern)
    }
    assert wanted <= set(wheel_names)
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)
    assert "petlsparse/py.typed" in wheel_names
