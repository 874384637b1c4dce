"""Grouping runs into replicates, which differ in their seed only; and naming what tells configurations apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from petlsparse.analysis.labels import method_labels, setting
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.staleness import content_of, split_by_content
from petlsparse.recipe.schema import Run
from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.tables import RUNS

SECTIONS = ("data", "backbone", "network", "method", "optimizer", "schedule", "training")
_ALWAYS_SHOWN = ("data_name", "backbone_name", "network_name")


@dataclass(frozen=True)
class Replicates:
    """The runs of one configuration: all their settings but the seed are equal."""

    method: str
    settings: dict[str, str]
    """The settings outside the method that tell configurations apart, by column name."""
    content: dict[str, str]
    """Known fingerprints of what its runs rest on, by column name."""
    role: str | None
    """What a search asked for its runs as."""
    runs: Runs


@dataclass(frozen=True)
class Grouping:
    """All configurations, in order of first appearance."""

    configurations: tuple[Replicates, ...]
    varies: tuple[str, ...]
    """Settings that take more than one value, the seed aside."""
    columns: tuple[str, ...]
    """Those that need a column: not part of the method, nor determined by method and the columns before."""
    implied: tuple[str, ...]
    """Those that are determined so."""
    contents: tuple[str, ...]
    """Fingerprints that alone tell configurations of equal settings apart."""


def group(runs: Runs) -> Grouping:
    """Runs of one study by configuration; only their settings (`Run.flat()`) need to be known.

    Runs of equal settings that rest on different content (see `staleness.split_by_content`), or that a search asked
    for in different roles, are different configurations.
    """
    names = _setting_columns(runs.columns)
    divided = [split_by_content(equal) for equal in runs.split_by("study", "role", *names).values()]
    groups = [part for parts in divided for part in parts]
    first = Runs(runs.columns, [part.indices[0] for part in groups])
    varies = [name for name in names if len(set(first[name])) > 1]
    columns = _columns(varies, names, first)
    methods = _named(first, {name: name.removeprefix("method_") for name in names if name.startswith("method_")})
    shown = _named(first, {name: name for name in columns})
    contents = [[content_of(part) for part in parts] for parts in divided]
    configurations = [
        Replicates(label, {name: setting(value) for name, value in values.items()}, content, role, part)
        for label, values, content, role, part in zip(
            method_labels(methods), shown, chain(*contents), first["role"], groups, strict=True
        )
    ]
    implied = [name for name in varies if name not in columns and not name.startswith("method_")]
    telling = [
        name
        for name in FINGERPRINTS
        if any(len({part[name] for part in parts if name in part}) > 1 for parts in contents)
    ]
    return Grouping(tuple(configurations), tuple(varies), columns, tuple(implied), tuple(telling))


def run_labels(runs: Iterable[Run]) -> dict[str, str]:
    """What tells each run of one study from the others, by run id: `digits lr=0.1 dst set/random d=0.1 seed 2`."""
    grouping = group(Runs.of(run.flat() | {"run_id": run.run_id} for run in runs))
    return {
        run_id: " ".join([*map(_said, replicates.settings.items()), replicates.method, f"seed {seed}"])
        for replicates in grouping.configurations
        for run_id, seed in zip(replicates.runs["run_id"], replicates.runs["seed"], strict=True)
    }


def _said(setting: tuple[str, str]) -> str:
    """A setting in words: a name as it is, anything else with what it is the value of."""
    column, value = setting
    return value if column in _ALWAYS_SHOWN else f"{column.partition('_')[2]}={value}"


def _named(runs: Runs, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The values of every run in some columns, by the names given for these."""
    return [{name: runs.columns[column][index] for column, name in names.items()} for index in runs.indices]


def _setting_columns(names: Iterable[str]) -> list[str]:
    prefixes = tuple(f"{section}_" for section in SECTIONS)
    others = {column.name for column in RUNS.columns}  # such as training_flops and data_fingerprint
    return [name for name in names if name.startswith(prefixes) and name not in others]


def _columns(varies: Sequence[str], names: Sequence[str], configurations: Runs) -> tuple[str, ...]:
    others = [name for name in varies if not name.startswith("method_")]
    shown = [name for name in _ALWAYS_SHOWN if name in others]
    method = [name for name in names if name.startswith("method_")]
    for name in others:
        if name not in shown and not _determined(name, [*method, *shown], configurations):
            shown.append(name)
    return tuple(shown)


def _determined(name: str, by: Sequence[str], configurations: Runs) -> bool:
    values: dict[tuple[Any, ...], Any] = {}
    rows = zip(*(configurations[column] for column in (*by, name)), strict=True)
    return all(values.setdefault(row[:-1], row[-1]) == row[-1] for row in rows)
