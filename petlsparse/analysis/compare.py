"""From recorded runs to one row per arm: grouped by every setting but the seed, summarised over seeds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from petlsparse.tracking.tables import RUNS

from .labels import method_label, setting
from .notes import notes_on
from .rows import COSTS, SCORES, SECTIONS, Comparison, Record, Row
from .statistics import summarise

_ALWAYS_SHOWN = ("data_name", "backbone_name", "network_name")


def compare(records: Iterable[Record]) -> list[Comparison]:
    """One comparison per study, from rows of the `runs` table."""
    studies: dict[str, list[Record]] = {}
    for record in records:
        studies.setdefault(record["study"], []).append(record)
    return [_compare(study, rows) for study, rows in studies.items()]


def setting_columns(records: Sequence[Record]) -> list[str]:
    """The columns that hold settings, the seed aside, in table order."""
    prefixes = tuple(f"{section}_" for section in SECTIONS)
    others = {column.name for column in RUNS.columns}  # such as training_flops and data_fingerprint
    return [name for name in records[0] if name.startswith(prefixes) and name not in others]


def _compare(study: str, records: list[Record]) -> Comparison:
    settings = setting_columns(records)
    varies = [name for name in settings if len({record[name] for record in records}) > 1]
    arms: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        arms.setdefault(tuple(record[name] for name in settings), []).append(record)
    columns = _columns(varies, [arm[0] for arm in arms.values()])
    labels = _method_labels([arm[0] for arm in arms.values()], settings)
    rows = [_row(label, arm, columns) for label, arm in zip(labels, arms.values(), strict=True)]
    implied = [name for name in varies if name not in columns and not name.startswith("method_")]
    return Comparison(study, tuple(varies), columns, tuple(rows), notes_on(records, rows, columns, implied))


def _columns(varies: Sequence[str], arms: Sequence[Record]) -> tuple[str, ...]:
    """Varying settings outside the method that method and earlier columns do not determine."""
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


def _method_labels(arms: Sequence[Record], settings: Sequence[str]) -> list[str]:
    methods = [
        {name.removeprefix("method_"): arm[name] for name in settings if name.startswith("method_")} for arm in arms
    ]
    seen: dict[tuple[str, str], set[Any]] = {}
    for fields in methods:
        for name, value in fields.items():
            seen.setdefault((fields["kind"], name), set()).add(value)
    varying = {kind: {n for k, n in seen if k == kind and len(seen[k, n]) > 1} for kind, _ in seen}
    return [method_label(fields, varying[fields["kind"]]) for fields in methods]


def _row(label: str, runs: Sequence[Record], columns: Sequence[str]) -> Row:
    done = [run for run in runs if run["status"] == "done"]
    return Row(
        method=label,
        settings={name: setting(runs[0][name]) for name in columns},
        run_ids=tuple(run["run_id"] for run in runs),
        statuses=dict(Counter(run["status"] for run in runs)),
        scores={name: summarise(run.get(name) for run in done) for name in SCORES},
        costs={name: summarise(run.get(name) for run in done).mean for name in COSTS},
        selected=any(run.get("val_accuracy_best") is not None for run in done) or not done,
    )
