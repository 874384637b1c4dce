"""The rules that leave runs out: their values in the form that settings have, and which of them leave nothing out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import ValidationError, create_model

from petlsparse.errors import Problem, nearest_name
from petlsparse.recipe.expansion import matches
from petlsparse.recipe.origins import KeyPath, Origins
from petlsparse.recipe.problems import explain, show_value, unknown_key
from petlsparse.recipe.recipe_file import RecipeFile
from petlsparse.recipe.schema import TAGS, keys_of, models_of, table_and_field, tag_key
from petlsparse.settings import Index, SettingsTable


@dataclass(frozen=True)
class Rule:
    """One rule: as it is written, and with the values that settings have once they are validated."""

    path: KeyPath
    written: Mapping[str, Any]
    canonical: Mapping[str, Sequence[Any]]
    """Key -> the values of which a run must have one."""

    def excludes(self, settings: Mapping[str, Any]) -> bool:
        """Whether it leaves out a run of these settings, by dotted key, validated or as they were written."""
        return matches(settings, self.written) or (
            bool(self.canonical)
            and all(key in settings and settings[key] in values for key, values in self.canonical.items())
        )


class Excludes:
    """All rules of a recipe. `problems` are those of their keys and values."""

    def __init__(self, recipe_file: RecipeFile, origins: Origins) -> None:
        self._study, self._origins = recipe_file.study, origins
        self.problems: list[Problem] = []
        self._rules = {id(written): self._rule(path, written) for path, written in _written(recipe_file)}
        self._used: set[int] = set()

    def exclude(self, settings: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> bool:
        """Whether one of these rules, as they are written, leaves out a run of these settings."""
        found = [id(rule) for rule in rules if self._rules[id(rule)].excludes(settings)]
        self._used.update(found)
        return bool(found)

    def first(self) -> KeyPath:
        """The key path of the first rule."""
        return next(iter(self._rules.values())).path

    def idle(self) -> Iterator[Problem]:
        """The rules that have left nothing out so far, those of the recipe itself as it is written.

        A rule taken over from another recipe, or any beside flags that change what varies, may well be idle.
        """
        if self._origins.flags:
            return
        for key, rule in self._rules.items():
            if rule.written and key not in self._used and rule.path in self._origins.files[-1][1]:
                yield Problem("excludes nothing: no run has these values", self._origins.where(rule.path))

    def _rule(self, path: KeyPath, written: Mapping[str, Any]) -> Rule:
        valid = keys_of(self._study)
        canonical = {}
        for key, value in written.items():
            if key not in valid:
                self.problems.append(unknown_key(key, self._origins.where((*path, key)), valid, valid))
            else:
                canonical[key] = self._values(key, value, (*path, key))
        return Rule(path, written, canonical)

    def _values(self, key: str, value: Any, path: KeyPath) -> list[Any]:
        """The canonical form of a value, or of each in a list of values."""
        found, _ = _canonical(self._study, key, value)
        if found or not isinstance(value, list):
            return found or self._refuse(key, value, path)
        each = [_canonical(self._study, key, one)[0] for one in value]
        return [one for at, values in enumerate(each) for one in values or self._refuse(key, value[at], (*path, at))]

    def _refuse(self, key: str, value: Any, path: KeyPath) -> list[Any]:
        """Note why a value is none that the setting can have; the empty list."""
        where = self._origins.where(path)
        table = next((table for table in TAGS if tag_key(table) == key), "")
        if table:
            valid = tuple(str(model.model_fields[TAGS[table]].default) for model in models_of(self._study, table))
            nearest = nearest_name(value, valid) if isinstance(value, str) else None
            self.problems.append(Problem("unknown value", where, show_value(value), nearest, valid))
        else:
            _, error = _canonical(self._study, key, value)
            assert error is not None
            self.problems.append(explain(error.errors()[0], where))
        return []


def _written(recipe_file: RecipeFile) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """All rules with their key paths."""
    for at, rule in enumerate(recipe_file.exclude):
        yield ("exclude", at), rule
    for arm_at, arm in enumerate(recipe_file.arms):
        for at, rule in enumerate(arm.exclude):
            yield ("arms", arm_at, "exclude", at), rule


def _canonical(study: str, key: str, value: Any) -> tuple[list[Any], ValidationError | None]:
    """The JSON forms that a setting of this value has, one for each kind of its table that can have it.

    If none can: the first kind's reason.
    """
    forms: list[Any] = []
    error: ValidationError | None = None
    for setting in _settings(study, key):
        try:
            form = setting.model_validate({"value": value}).model_dump(mode="json")["value"]
        except ValidationError as invalid:
            error = error or invalid
        else:
            form = form["name"] if isinstance(form, dict) else form  # a function, by its name
            forms += [form] if form not in forms else []
    return forms, error


@cache
def _settings(study: str, key: str) -> tuple[type[SettingsTable], ...]:
    """What validates a setting by itself, as `value`, for each kind of its table that has it."""
    table, name = table_and_field(key)
    if key == "seed":
        return (create_model("Seed", __base__=SettingsTable, value=(Index, ...)),)
    fields = [model.model_fields[name] for model in models_of(study, table) if name in model.model_fields]
    types: list[Any] = [
        Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation for field in fields
    ]
    return tuple(create_model("Setting", __base__=SettingsTable, value=(each, ...)) for each in types)
