"""Finding recipes: those that travel with the package, by name, and any other, by path."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from petlsparse.errors import Problem, UserError, nearest_name, unknown_name
from petlsparse.homes import expanded


def shipped_recipes() -> dict[str, Path]:
    """The recipes of the package by name, which is the stem of the file, sorted."""
    try:
        root: Traversable = files("petlsparse._recipes")
    except ModuleNotFoundError:  # a checkout that is not installed
        root = Path(__file__).parents[2] / "recipes"
    return {path.stem: path for path in sorted(_toml_files(root), key=lambda path: path.stem)}


def find_recipe(reference: str | Path, folders: Sequence[Path] = (), folder: Path = Path(), where: str = "") -> Path:
    """The file of a recipe given by path, relative to `folder`, or by name.

    A name is that of a recipe in one of `folders`, or else of a shipped one.

    Raises:
        UserError: if there is no such recipe; `where` says who asked for it.
    """
    path = folder / expanded(reference)
    if path.is_file():
        return path
    known = shipped_recipes() | {file.stem: file for each in folders for file in sorted(_toml_files(each))}
    name = str(reference)
    if name in known:
        return known[name]
    nearest = _nearest_file(path, folder) or nearest_name(path.stem, known)
    if path.suffix == ".toml":
        raise UserError(Problem("no such recipe file", where, str(path), nearest, tuple(known)))
    raise UserError(replace(unknown_name("recipe", name, known, where), nearest=nearest))


def _nearest_file(path: Path, folder: Path) -> str | None:
    """The recipe file beside `path` with the closest name, written so that it is taken for a path below `folder`."""
    there = {file.stem: file for file in path.parent.glob("*.toml")}
    name = nearest_name(path.stem, there)
    if name is None:
        return None
    file = there[name]
    file = file.relative_to(folder) if file.is_relative_to(folder) else file
    return str(file) if file.is_absolute() or len(file.parts) > 1 else f"./{file}"


def header(text: str) -> str:
    """The leading comment of a recipe, without its '#': source, command, expected time and result."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return "\n".join(lines)


def _toml_files(folder: Traversable) -> Iterator[Path]:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            yield from _toml_files(entry)
        elif entry.name.endswith(".toml"):
            yield Path(str(entry))
