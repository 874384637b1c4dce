"""Grouping runs into arms: runs that differ only in their seed; and naming what tells the arms apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from petlsparse.analysis.labels import method_labels, setting
from petlsparse.analysis.rows import Record
from petlsparse.analysis.staleness import apart, content_of
from petlsparse.recipe.schema import Run
from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.tables import RUNS

SECTIONS = ("data", "backbone", "network", "method", "optimizer", "schedule", "training")
_ALWAYS_SHOWN = ("data_name", "backbone_name", "network_name")


@dataclass(frozen=True)
class Arm:
    """One method in one setting, with its replicates."""

    method: str
    settings: dict[str, str]
    """The settings outside the method that tell arms apart, by column name."""
    content: dict[str, str]
    """Known fingerprints of what its runs rest on, by column name."""
    role: str | None
    """What a search asked for its runs as."""
    runs: tuple[Record, ...]


@dataclass(frozen=True)
class Grouping:
    """All arms, in order of first appearance."""

    arms: tuple[Arm, ...]
    varies: tuple[str, ...]
    """Settings that take more than one value, the seed aside."""
    columns: tuple[str, ...]
    """Those that need a column: not part of the method, nor determined by method and the columns before."""
    implied: tuple[str, ...]
    """Those that are determined so."""
    contents: tuple[str, ...]
    """Fingerprints that alone tell arms of equal settings apart."""


def group(records: Sequence[Record]) -> Grouping:
    """The arms of runs of one study, given as rows of the `runs` table or as settings (`Run.flat()`).

    Runs of equal settings that rest on different content (see `staleness.apart`), or that a search asked for in
    different roles, are different arms.
    """
    names = _setting_columns(records)
    complete, settings = dict.fromkeys([*names, "role"]), itemgetter("study", "role", *names)
    by_settings: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        whole = record if complete.keys() <= record.keys() else complete | dict(record)
        by_settings.setdefault(settings(whole), []).append(whole)
    divided = [apart(runs) for runs in by_settings.values()]
    groups = [runs for parts in divided for runs in parts]
    first = [runs[0] for runs in groups]
    varies = [name for name in names if len({record[name] for record in first}) > 1]
    columns = _columns(varies, first)
    method = [name for name in names if name.startswith("method_")]
    labels = method_labels([{name.removeprefix("method_"): arm[name] for name in method} for arm in first])
    contents = [[content_of(runs) for runs in parts] for parts in divided]
    arms = [
        Arm(label, {name: setting(runs[0][name]) for name in columns}, content, runs[0]["role"], tuple(runs))
        for label, content, runs in zip(labels, chain(*contents), groups, strict=True)
    ]
    implied = [name for name in varies if name not in columns and not name.startswith("method_")]
    telling = [
        name
        for name in FINGERPRINTS
        if any(len({part[name] for part in parts if name in part}) > 1 for parts in contents)
    ]
    return Grouping(tuple(arms), tuple(varies), columns, tuple(implied), tuple(telling))


def run_labels(runs: Iterable[Run]) -> dict[str, str]:
    """What tells each run of one study from the others, by run id: `digits lr=0.1 dst set/random d=0.1 seed 2`."""
    grouping = group([run.flat() | {"run_id": run.run_id} for run in runs])
    return {
        run["run_id"]: " ".join([*map(_said, arm.settings.items()), arm.method, f"seed {run['seed']}"])
        for arm in grouping.arms
        for run in arm.runs
    }


def _said(setting: tuple[str, str]) -> str:
    """A setting in words: a name as it is, anything else with what it is the value of."""
    column, value = setting
    return value if column in _ALWAYS_SHOWN else f"{column.partition('_')[2]}={value}"


def _setting_columns(records: Sequence[Record]) -> list[str]:
    prefixes = tuple(f"{section}_" for section in SECTIONS)
    others = {column.name for column in RUNS.columns}  # such as training_flops and data_fingerprint
    alike = dict.fromkeys(tuple(record) for record in records)
    names = dict.fromkeys(name for each in alike for name in each)
    return [name for name in names if name.startswith(prefixes) and name not in others]


def _columns(varies: Sequence[str], arms: Sequence[Record]) -> tuple[str, ...]:
    others = [name for name in varies if not name.startswith("method_")]
    shown = [name for name in _ALWAYS_SHOWN if name in others]
    method = [name for name in arms[0] if name.startswith("method_")]
    for name in others:
        if name not in shown and not _determined(name, [*method, *shown], arms):
            shown.append(name)
    return tuple(shown)


def _determined(name: str, by: Sequence[str], arms: Sequence[Record]) -> bool:
    values: dict[tuple[Any, ...], Any] = {}
    return all(values.setdefault(tuple(arm[key] for key in by), arm[name]) == arm[name] for arm in arms)
