"""Loading a recipe whole: file, ancestors, flags, shape, runs; every problem in one error."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from petlsparse.errors import Problem, UserError, unknown_name
from petlsparse.recipe.documents import Document, all_tables, overlay, read_family
from petlsparse.recipe.expansion import varying
from petlsparse.recipe.fields import OneOf
from petlsparse.recipe.locations import SettingLocations
from petlsparse.recipe.origins import AXES, KeyPath, Origins, show
from petlsparse.recipe.overrides import Override
from petlsparse.recipe.problems import explain, key_of, table_of, valid_keys
from petlsparse.recipe.recipe_file import GRID, Launch, Output, RecipeFile, validate_recipe_file
from petlsparse.recipe.resolution import resolve_runs
from petlsparse.recipe.schema import RUN_TYPES, TAGS, Run, flat, keys_of, names_to_tables, tag_key, validate_run
from petlsparse.recipe.shipped import find_recipe
from petlsparse.settings import Choice, SettingsTable


@dataclass(frozen=True)
class Recipe:
    """A recipe, checked and expanded. `text` is its file as written, `resolved` its table after ancestors and flags.

    `varies` are the dotted keys, the seed aside, with more than one value over the runs.
    """

    name: str
    study: str
    description: str
    path: Path
    text: str
    resolved: Mapping[str, Any]
    runs: tuple[Run, ...]
    varies: tuple[str, ...]
    output: Output
    launch: Launch
    search: Choice = GRID
    """Which runs are trained, given the results of others."""
    locations: SettingLocations | None = None
    """Where the settings of its runs were written; None for a recipe that was not read from a file."""

    def locate(self, problem: Problem, run_id: str) -> Problem:
        """The problem of a run, with its place in the recipe where it is about a setting."""
        return self.locations.locate(problem, run_id) if self.locations else problem

    def arm(self, run_id: str) -> int:
        """The number of the arm, from 0, that a run of the recipe belongs to."""
        return self.locations.arms[run_id] if self.locations else 0


def load_recipe(
    reference: str | Path,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
    seeds: str | None = None,
    folders: Sequence[Path] = (),
    study: str | None = None,
    rewrite: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> Recipe:
    """Load the recipe of a path or name, change it as `--set`, `--axis` and `--seeds` say, and expand it.

    Args:
        reference: path of a TOML file, or name of a recipe shipped or found in one of `folders`.
        sets: "key=value" texts.
        axes: "key=value1,value2" texts.
        seeds: "5", "1,2,3" or "1-5".
        folders: folders with recipes that can be referred to by name.
        study: the study that the recipe must belong to.
        rewrite: makes of the recipe's table, after ancestors and flags, the one that is expanded.

    Raises:
        UserError: with all problems of the recipe and the flags.
    """
    family = read_family(find_recipe(reference, folders), folders)
    table: dict[str, Any] = {}
    for document in family:
        table = overlay(table, document.table)
    table.pop("extends", None)
    override = Override(table)
    override.apply(sets, axes, seeds)
    origins = Origins([(document.file, document.lines) for document in family], override.flags)

    problems = list(override.problems)
    table = override.table if rewrite is None else rewrite(override.table)
    recipe_file, errors = validate_recipe_file(table)
    problems += [_shape_problem(error, origins, table) for error in errors]
    if recipe_file is None or any(_leaves_nothing(error["loc"]) for error in errors):
        raise UserError(*problems)
    problems += _study_problems(recipe_file.study, study, family, str(reference))
    runs, locations, found = resolve_runs(recipe_file, origins, _unusable_axes(errors, table))
    problems += found
    if problems:
        raise UserError(*problems)
    leaf = family[-1]
    varies = varying([flat(run.settings()) for run in {run.configuration: run for run in runs}.values()])
    return Recipe(
        name=leaf.file.stem,
        study=recipe_file.study,
        description=recipe_file.description,
        path=leaf.file,
        text=leaf.text,
        resolved=table,
        runs=runs,
        varies=_in_order(varies, keys_of(recipe_file.study)),
        output=recipe_file.output,
        launch=recipe_file.launch,
        search=recipe_file.search,
        locations=locations,
    )


def runs_of(resolved: Mapping[str, Any]) -> tuple[Run, ...]:
    """The runs of a recipe's table after ancestors and flags (`Recipe.resolved`); UserError if it is none."""
    recipe_file, errors = validate_recipe_file(resolved)
    origins = Origins([(Path("recipe"), {})], {})
    if recipe_file is None or errors:
        raise UserError(*(explain(error, show(error["loc"])) for error in errors))
    runs, _, problems = resolve_runs(recipe_file, origins)
    if problems:
        raise UserError(*problems)
    return runs


def _in_order(varies: Iterable[str], keys: Sequence[str]) -> tuple[str, ...]:
    """In the order of `keys`, what functions in files of the user's add to them last; without the seed."""
    places = {key: place for place, key in enumerate(keys)}
    return tuple(sorted({*varies} - {"seed"}, key=lambda key: (places.get(key, len(keys)), key)))


def parse_run(settings: Mapping[str, Any]) -> Run:
    """The run of a record's settings, as `Run.settings` gave them; UserError if they describe none."""
    study = settings.get("study")
    if not isinstance(study, str) or study not in RUN_TYPES:
        raise UserError(unknown_name("study", str(study), RUN_TYPES))
    try:
        return validate_run(settings)
    except ValidationError as invalid:
        kinds = flat(names_to_tables(settings))
        problems = []
        for error in invalid.errors():
            key = key_of(error)
            kind = kinds.get(tag_key(table_of(key))) if table_of(key) in TAGS else None
            problems.append(explain(error, show(key), valid_keys(study, key, kind)))
        raise UserError(*problems) from invalid


def _shape_problem(error: ErrorDetails, origins: Origins, table: Mapping[str, Any]) -> Problem:
    study = table.get("study")
    sections: dict[str, type[SettingsTable]] = {"search": _search(table), "output": Output, "launch": Launch}
    section = sections.get(str(error["loc"][0]))
    valid = section.model_fields if section else [*RecipeFile.model_fields, "extends"]
    settings = [f"run.{key}" for key in keys_of(study)] if isinstance(study, str) and study in RUN_TYPES else []
    return explain(error, origins.where(error["loc"]), valid, settings)


def _search(table: Mapping[str, Any]) -> type[SettingsTable]:
    """The model of the search that a recipe names, or of any if there is none of its name."""
    search = table.get("search")
    try:
        return OneOf("search").model(str(search["name"])) if isinstance(search, Mapping) else Choice
    except (KeyError, ValidationError):
        return Choice


def _leaves_nothing(path: KeyPath) -> bool:
    """Whether without what lies at `path` everything else would seem to be missing."""
    return path == ("run",) or (path[0] == "arms" and len(path) <= 2)


def _study_problems(study: str, wanted: str | None, family: Sequence[Document], reference: str) -> Iterator[Problem]:
    if wanted is not None and study != wanted:
        message = f'belongs to study "{study}", not to "{wanted}": petlsparse {study} {reference} runs it'
        yield Problem(message, str(family[-1].file))
    for parent in family[:-1]:
        theirs = parent.table.get("study", study)
        if theirs != study:
            message = f'belongs to study "{study}" but extends {parent.file} of study "{theirs}"'
            yield Problem(message, str(family[-1].file))


def _unusable_axes(errors: Sequence[ErrorDetails], table: Mapping[str, Any]) -> set[str]:
    """The dotted keys of the axes that the errors are about."""
    keys: set[str] = set()
    for error in errors:
        path = error["loc"][2:] if error["loc"][0] == "arms" else error["loc"]
        if path and path[0] in AXES:
            named = [part for part in path[1:] if isinstance(part, str)]
            keys.update(named or (key for group in all_tables(_at(table, error["loc"])) for key in group))
    return keys


def _at(value: Any, path: KeyPath) -> Any:
    for part in path:
        value = value[part]
    return value
