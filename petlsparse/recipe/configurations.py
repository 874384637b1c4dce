"""The settings of every run before its seed: [run] <- arm <- zip and grid, each value with where it was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from petlsparse.recipe.expansion import combinations, number_of_combinations
from petlsparse.recipe.origins import KeyPath
from petlsparse.recipe.recipe_file import Arm, Axes, RecipeFile
from petlsparse.recipe.schema import TAGS, fields_of, flat, tag_key


@dataclass(frozen=True)
class Setting:
    """A value and the key path that gave it."""

    value: Any
    path: KeyPath

    @property
    def shared(self) -> bool:
        """Whether it was given to all arms rather than by one of them."""
        return self.path[0] != "arms"


@dataclass(frozen=True)
class Configuration:
    """The settings of one run but for its seed, by dotted key, and the rules that may exclude it."""

    settings: Mapping[str, Setting]
    excludes: list[dict[str, Any]]
    arm: int = 0
    """Number of the arm, from 0, that they belong to."""

    def values(self) -> dict[str, Any]:
        """The settings without their origins."""
        return {key: setting.value for key, setting in self.settings.items()}

    def kind(self, table: str) -> Any:
        """Which kind of a table of several kinds was chosen; None if none was."""
        chosen = self.settings.get(tag_key(table)) if table in TAGS else None
        return chosen.value if chosen else None

    def locate(self, key: KeyPath) -> KeyPath:
        """Where `key` was written, or else where it would have to be."""
        for length in range(len(key), 0, -1):
            setting = self.settings.get(".".join(map(str, key[:length])))
            if setting:
                return (*setting.path, *key[length:])
        table = f"{key[0]}."
        for name, setting in self.settings.items():
            if name.startswith(table) and len(key) == 1:  # `key` is a table: where its first setting was written
                return setting.path
            if name.startswith(table) and not setting.shared:  # beside what the arm says about this table
                return (*setting.path[:2], *key)
        return ("run", *key)

    def drop_irrelevant(self, study: str) -> tuple["Configuration", dict[str, Setting]]:
        """The configuration without the shared settings that its kinds of method, optimizer and schedule do not have.

        A density given to all arms leaves a dense arm alone. What is left out is returned too.
        """
        chosen = {table: self.kind(table) for table in TAGS}
        kinds = tuple((table, kind) for table, kind in chosen.items() if isinstance(kind, str))
        irrelevant = _irrelevant(study, kinds, tuple(key for key, setting in self.settings.items() if setting.shared))
        kept = {key: setting for key, setting in self.settings.items() if key not in irrelevant}
        return replace(self, settings=kept), {key: self.settings[key] for key in irrelevant}


@lru_cache(maxsize=1024)
def _irrelevant(study: str, kinds: tuple[tuple[str, str], ...], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the keys that belong to a table of one of these kinds, which has no such setting.

    Configurations have few kinds and few sets of keys, however many there are.
    """
    found = []
    for table, kind in kinds:
        fields = fields_of(study, table, kind)
        for key in keys:
            within = key.startswith(f"{table}.") and key != tag_key(table)
            if within and fields and key.removeprefix(f"{table}.").partition(".")[0] not in fields:
                found.append(key)
    return tuple(found)


def configurations(recipe_file: RecipeFile) -> Iterator[Configuration]:
    """Every combination: arms outermost, then groups of zip, then grid axes in the order of the file."""
    for number, arm in enumerate(_arms(recipe_file)):
        for choice in combinations(arm.zips, arm.grid):
            yield Configuration(arm.fixed | choice, arm.excludes, number)


def number_of_configurations(recipe_file: RecipeFile) -> int:
    """How many `configurations` there are, without making them."""
    return sum(number_of_combinations(arm.zips, arm.grid) for arm in _arms(recipe_file))


@dataclass(frozen=True)
class _ArmSettings:
    fixed: dict[str, Setting]
    zips: list[dict[str, list[Setting]]]
    grid: dict[str, list[Setting]]
    excludes: list[dict[str, Any]]


def _arms(recipe_file: RecipeFile) -> Iterator[_ArmSettings]:
    """Each arm with what it shares with all: its settings go over shared ones, its axes replace those of its keys."""
    shared = _settings(recipe_file.run, ("run",))
    arms: list[tuple[Arm, KeyPath]] = [(arm, ("arms", at)) for at, arm in enumerate(recipe_file.arms)]
    for arm, path in arms or [(Arm(), ())]:
        own = arm.axes()
        yield _ArmSettings(
            fixed=shared | _settings(arm.settings, path),
            zips=_zips(recipe_file, (), own) + _zips(arm, path, set()),
            grid=_grid(recipe_file, (), own) | _grid(arm, path, set()),
            excludes=[*recipe_file.exclude, *arm.exclude],
        )


def _settings(table: Mapping[str, Any], path: KeyPath) -> dict[str, Setting]:
    return {key: Setting(value, (*path, *key.split("."))) for key, value in flat(table).items()}


def _grid(axes: Axes, path: KeyPath, without: set[str]) -> dict[str, list[Setting]]:
    return {
        key: [Setting(value, (*path, "grid", key, at)) for at, value in enumerate(values)]
        for key, values in axes.grid.items()
        if key not in without
    }


def _zips(axes: Axes, path: KeyPath, without: set[str]) -> list[dict[str, list[Setting]]]:
    return [
        {
            key: [Setting(value, (*path, "zip", number, key, at)) for at, value in enumerate(values)]
            for key, values in group.items()
            if key not in without
        }
        for number, group in enumerate(axes.zip)
    ]
