"""A comparison as columns of text cells (for people) or as flat records (for programs)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from petlsparse.analysis import quantities
from petlsparse.analysis.comparison import COSTS, Comparison, ConfigurationResult, scores_of
from petlsparse.analysis.labels import edge_names
from petlsparse.analysis.statistics import SampleSummary
from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.record import STATUSES
from petlsparse.tracking.tables import MEASURES

SHOWN_OF_HASH = 6


@dataclass(frozen=True)
class TextColumn:
    """One column of a table for people."""

    header: str
    cells: tuple[str, ...]
    numeric: bool = True
    drop_order: int = 0
    """0 is never left out; of the others, the highest go first where the page is narrow."""


_COST_COLUMNS: dict[str, tuple[str, Callable[[object], str], int]] = {
    "trainable_parameters": ("trainable", quantities.count, 0),
    "active_parameters": ("active", quantities.count, 3),
    "training_flops": ("train FLOPs", quantities.count, 1),
    "wall_seconds": ("time", quantities.duration, 0),
    "peak_memory_bytes": ("memory", quantities.memory, 2),
}


def text_columns(comparison: Comparison) -> list[TextColumn]:
    """The table's columns, left to right."""
    rows = comparison.rows

    def column(
        header: str, cell: Callable[[ConfigurationResult], str], numeric: bool = True, drop_order: int = 0
    ) -> TextColumn:
        return TextColumn(header, tuple(cell(row) for row in rows), numeric, drop_order)

    marked = any(row.selected for row in rows)
    test, val, *_ = scores_of(comparison.metric)
    unit = MEASURES[comparison.metric].unit
    name, shown = f"{MEASURES[comparison.metric].short} {unit}", quantities.measured(unit)
    columns = [
        *(
            column(heading(name), lambda row, name=name: row.settings[name], numeric=False)  # type: ignore[misc]
            for name in comparison.columns
        ),
        *(
            column(FINGERPRINTS[name].short, lambda row, name=name: _hash(row, name), numeric=False)  # type: ignore[misc]
            for name in comparison.contents
        ),
        column("method", lambda row: row.method, numeric=False),
    ]
    if comparison.candidates:
        columns += [
            column(f"val. {name}", lambda row: shown(row.scores[val].mean)),
            column("n", lambda row: str(row.scores[val].n)),
        ]
    else:
        columns += [
            column(f"test {name}", lambda row: score(row.scores[test], shown) + _mark(row, marked)),
            column("SD", lambda row: shown(row.scores[test].sd)),
            column("n", lambda row: str(row.scores[test].n)),
            column(f"val. {name}", lambda row: shown(row.scores[val].mean), drop_order=4),
        ]
    if any(row.unsaid_edges for row in rows):
        columns.append(
            column("edges", lambda row: edge_names(row.unsaid_edges) if row.unsaid_edges else "", False, drop_order=1)
        )
    if any(row.stale for row in rows):
        columns.append(column("stale", _stale, numeric=False))
    if any(_lost(row) for row in rows):
        columns.append(column("not done", _lost, numeric=False))
    for name, (header, text, drop_order) in _COST_COLUMNS.items():
        columns.append(column(header, lambda row, n=name, t=text: t(row.costs[n]), drop_order=drop_order))  # type: ignore[misc]
    return columns


def records_of(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat object per row; every number unrounded, None where there is none."""
    records = []
    for row in comparison.rows:
        record: dict[str, Any] = {"study": comparison.study, "method": row.method, **row.settings}
        if comparison.candidates:
            record["role"] = "candidate"
        for name, summary in row.scores.items():
            record |= {f"{name}_{part}": getattr(summary, part) for part in ("mean", "sd", "low", "high")}
        record |= {name: row.content.get(name) for name in comparison.contents}
        if any(each.unsaid_edges for each in comparison.rows):
            record["edges"] = row.unsaid_edges
        record["stale"] = None if row.stale is None else list(row.stale)
        record["n"] = row.scores[f"test_{comparison.metric}"].n
        record |= {status: row.statuses.get(status, 0) for status in STATUSES}
        record["weights"] = "best on validation" if row.selected else "last"
        record |= {name: row.costs[name] for name in COSTS}
        record["run_ids"] = list(row.run_ids)
        records.append(record)
    return records


def heading(name: str) -> str:
    """A setting's name as a column heads it: `optimizer_lr` is lr, `data_name` is data."""
    section, _, field = name.partition("_")
    return section if field == "name" else field.replace("_", " ")


def score(summary: SampleSummary, shown: Callable[[object], str] = quantities.percent) -> str:
    """`93.12 ± 0.41`, or `93.12` alone where n is too small for an interval."""
    mean = shown(summary.mean)
    return mean if summary.half_width is None else f"{mean} ± {shown(summary.half_width)}"


def _hash(row: ConfigurationResult, fingerprint: str) -> str:
    return row.content.get(fingerprint, quantities.MISSING)[:SHOWN_OF_HASH]


def _stale(row: ConfigurationResult) -> str:
    return ", ".join(FINGERPRINTS[name].short for name in row.stale or ())


def _mark(row: ConfigurationResult, marked: bool) -> str:
    return " †" if marked and not row.selected else ""


def _lost(row: ConfigurationResult) -> str:
    return ", ".join(f"{n} {status}" for status, n in row.statuses.items() if status != "done")
