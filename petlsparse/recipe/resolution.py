"""From a recipe file to its runs, with every problem found on the way."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from petlsparse.errors import Problem
from petlsparse.recipe.configurations import Configuration, Setting, configurations, number_of_configurations
from petlsparse.recipe.excludes import Excludes
from petlsparse.recipe.locations import SettingLocations
from petlsparse.recipe.origins import KeyPath, Origins
from petlsparse.recipe.problems import explain, key_of, table_of, unknown_key, valid_keys
from petlsparse.recipe.recipe_file import RecipeFile
from petlsparse.recipe.schema import Run, fields_of, flat, keys_of, nested, table_and_field, validate_run

MAX_SIZE = 100_000
"""Runs of a recipe, before excludes: more are taken for a mistake."""

_GIVEN_ELSEWHERE = {
    "seed": "is no setting: give `seeds` at the top of the recipe, or --seeds",
    "study": "is no setting: give `study` at the top of the recipe",
}


def resolve_runs(
    recipe_file: RecipeFile, origins: Origins, unusable: Collection[str] = ()
) -> tuple[tuple[Run, ...], SettingLocations, list[Problem]]:
    """The runs of a recipe, each once, seeds innermost; where their settings stand; and all problems, each once.

    `unusable` are keys whose axis is a problem already reported: that they are missing is no other.
    """
    study, seeds = recipe_file.study, recipe_file.seeds
    size = number_of_configurations(recipe_file) * len(seeds)
    if size > MAX_SIZE:
        return (
            (),
            SettingLocations(recipe_file, origins, {}, {}),
            [Problem(f"expands to {size:,} runs; at most {MAX_SIZE:,} are possible", origins.where(()))],
        )
    relevant = [configuration.drop_irrelevant(study) for configuration in configurations(recipe_file)]
    runs: dict[str, Run] = {}
    numbers: dict[str, int] = {}
    arms: dict[str, int] = {}
    excludes = Excludes(recipe_file, origins)
    problems = [*_unused(relevant, study, origins), *excludes.problems]
    for number, (configuration, _) in enumerate(relevant):
        values = configuration.values()
        problems += [
            Problem(_GIVEN_ELSEWHERE[key], origins.where(_key(configuration.settings[key].path)))
            for key in _GIVEN_ELSEWHERE
            if key in values
        ]
        try:
            run = validate_run({**nested(values), "study": study, "seed": seeds[0]})
        except ValidationError as invalid:
            if not excludes.exclude(values, configuration.excludes):
                found = [_problem(error, configuration, study, origins, unusable) for error in invalid.errors()]
                problems += [problem for problem in found if problem]
            continue
        resolved = flat(run.settings())
        left = [seed for seed in seeds if not excludes.exclude(resolved | {"seed": seed}, configuration.excludes)]
        for seeded in run.with_seeds(left):
            runs.setdefault(seeded.run_id, seeded)
            numbers.setdefault(seeded.run_id, number)
            arms.setdefault(seeded.run_id, configuration.arm)
    if not runs and not problems and not unusable:
        problems.append(Problem("leaves no run: every run is excluded", origins.where(excludes.first())))
    if not problems:
        problems += excludes.idle()
    return tuple(runs.values()), SettingLocations(recipe_file, origins, numbers, arms), list(dict.fromkeys(problems))


def _unused(
    relevant: Sequence[tuple[Configuration, Mapping[str, Setting]]], study: str, origins: Origins
) -> Iterator[Problem]:
    """The settings given to all arms that no arm's kind has, with the keys that those kinds do have."""
    used = {setting.path for configuration, _ in relevant for setting in configuration.settings.values()}
    unused: dict[tuple[KeyPath, str], dict[str, None]] = {}
    for configuration, left_out in relevant:
        for key, setting in left_out.items():
            table, field = table_and_field(key)
            if setting.path not in used:
                fields = fields_of(study, table, configuration.kind(table)) or ()
                unused.setdefault((_key(setting.path), field), {}).update(dict.fromkeys(fields))
    for (path, field), valid in unused.items():
        yield unknown_key(field, origins.where(path), valid, _elsewhere(study, path))


def _problem(
    error: ErrorDetails, configuration: Configuration, study: str, origins: Origins, unusable: Collection[str]
) -> Problem | None:
    key = key_of(error)
    dotted = ".".join(map(str, key))
    if any(name == dotted or name.startswith(f"{dotted}.") for name in unusable):
        return None
    path = configuration.locate(key)
    if error["type"] == "extra_forbidden":
        path = _key(path)
    valid = valid_keys(study, key, configuration.kind(table_of(key)))
    return explain(error, origins.where(path), valid, _elsewhere(study, key))


def _elsewhere(study: str, key: KeyPath) -> list[str]:
    """The keys of the tables that `key`, or the end of it, does not lie in."""
    tables = {part.partition(".")[0] for part in key if isinstance(part, str)}
    return [other for other in keys_of(study) if other.partition(".")[0] not in tables]


def _key(path: KeyPath) -> KeyPath:
    """The path of the axis, where `path` leads to one of its values."""
    return path[:-1] if isinstance(path[-1], int) else path
