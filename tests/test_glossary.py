"""Names of the code and of settings that the documents cite are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from petlsparse.recipe.reference import reference
from petlsparse.recipe.schema import RUN_TYPES, keys_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "petlsparse"
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py") and not path.name.startswith("_")}
DOTTED = re.compile(r"`([a-z_]+(?:\.\w+)+)(?:\(\))?`")
CLASS = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)(?:\.(\w+))?(?:\(\))?`")


def definitions(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What a module or a class defines, by name."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {part.id: node for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return found


def exists(name: str) -> bool:
    """Whether a dotted name below the package is a module, or what one defines, or an attribute of such a class."""
    parts, folder = name.split("."), PACKAGE
    while parts and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    file = folder / f"{parts[0]}.py" if parts and (folder / f"{parts[0]}.py").exists() else folder / "__init__.py"
    parts = parts[1:] if file.name != "__init__.py" else parts
    body = ast.parse(file.read_text()).body
    for part in parts:
        node = definitions(body).get(part)
        if node is None:
            return False
        body = node.body if isinstance(node, ast.ClassDef) else []
    return True


def cited(page: str) -> Iterator[str]:
    """The dotted names of a page that begin with a room; keys of settings look alike and are left out."""
    settings = {key for study in RUN_TYPES for key in keys_of(study)}
    for name in DOTTED.findall(page):
        if name.split(".")[0] in ROOMS and name not in settings and not name.endswith((".md", ".py", ".json", ".toml")):
            yield name


@pytest.mark.parametrize("page", ["glossary.md", "architecture.md", "launchers.md", "searches.md"])
def test_every_name_of_the_code_in_the_documents_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert [name for name in cited(text) if not exists(name)] == []


def test_every_class_in_the_architecture_page_is_there() -> None:
    classes: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for name, node in definitions(ast.parse(path.read_text()).body).items():
            classes.setdefault(name, set()).update(definitions(node.body) if isinstance(node, ast.ClassDef) else ())
    for name, attribute in CLASS.findall((ROOT / "docs" / "architecture.md").read_text()):
        assert name in classes or name in OTHERS, name
        assert not attribute or attribute in classes[name], f"{name}.{attribute}"


OTHERS = {"Future"}
"""Classes of libraries."""


def test_every_word_of_the_glossary_has_its_place_in_the_code() -> None:
    rows = [
        line.split("|")[1:-1] for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if line[:2] == "| "
    ]
    words = [word.strip() for word, *_ in rows if word.strip() not in ("word", "---")]
    assert len(words) == len(set(words)) > 60
    for word, meaning, source, code in rows:
        if word.strip() not in words:
            continue
        assert meaning.strip(), word
        assert re.fullmatch(r" (\d{4}\.\d{5}(, \d{4}\.\d{5})*)? ?", source), word
        assert len(list(cited(code))) == 1, word


KEYS = {entry.key for entry in reference()}
PARTS = {part for key in KEYS for part in key.split(".")} | {"name", "extends"}
TABLES = {key.rpartition(".")[0] for key in KEYS} - {""}
KEY = re.compile(r"`([a-z_]+(?:\.[a-z_0-9]+)+)(?: =[^`]*)?`")
IN_A_TABLE = re.compile(r"\[([a-z_]+)\]`? `?([a-z_]+)(?:`|\b(?=\)))")
ASSIGNED = re.compile(r"`([a-z_]+) = ")


def unknown_keys(page: str) -> list[str]:
    """What a page cites as `table.key`, `[table] key` or `key = value` and is no setting."""
    dotted = [*KEY.findall(page), *map(".".join, IN_A_TABLE.findall(page))]
    of_a_table = [key for key in dotted if key.partition(".")[0] in TABLES and not key.endswith((".md", ".py"))]
    found = [key for key in of_a_table if key not in KEYS and key not in TABLES and not code(key)]
    return found + [key for key in ASSIGNED.findall(page) if key not in PARTS]


def code(name: str) -> bool:
    """Whether this is the name of something in the package: some rooms are called like tables."""
    return name.partition(".")[0] in ROOMS and exists(name)


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), ROOT / "results" / "README.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_setting_that_a_document_cites_is_one(page: Path) -> None:
    assert unknown_keys(page.read_text()) == []


def test_a_setting_that_is_not_there_is_found() -> None:
    assert (
        unknown_keys("`output.save_weights` `launch.cohort` `method.density = 0.1` `study = 1` `training.member`") == []
    )
    assert unknown_keys("`method.gone` `launch.gone = 1` (`[output] keep`) ([output] keep) and `state = 1`") == [
        "method.gone", "launch.gone", "output.keep", "output.keep", "state",
    ]  # fmt: skip


def test_a_name_that_is_not_there_is_found() -> None:
    assert exists("training.member.Member.resume")
    assert exists("tracking.tables.Column.incidental")
    assert exists("backbones.load_backbone")
    assert not exists("training.member.Member.gone")
    assert not exists("training.gone")
    assert list(cited("`data.name` `data.gone` `sparsity.topology` `docs/x.md`")) == ["data.gone", "sparsity.topology"]
