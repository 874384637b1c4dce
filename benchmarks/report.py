"""Comparisons as a table in the terminal, as JSON with their conditions, and as Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.harness import Comparison
from petlsparse.tracking.provenance import of_command, utc_now

HEADER = ("contestant", "median", "quartiles", "best", "n", "times faster", "quartiles", "share of roof")
MEMORY_HEADER = ("contestant", "median", "quartiles", "best", "n", "times smaller", "quartiles", "share of roof")
SCALES = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")), "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))}
UNIT_OF = {"cpu": "s", "wall": "s", "bytes": "bytes"}


def conditions() -> dict[str, Any]:
    """What the figures depend on: processor, versions, commit, date, and how busy the machine was when it began."""
    of_package = of_command()
    kept = ("git_sha", "git_dirty", "platform", "cpu", "python", "torch_version", "timm_version", "peft_version")
    return {
        "date": utc_now(),
        **{name: of_package[name] for name in kept},
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
    }


def cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """A row of text per contestant, in the columns of `HEADER`."""
    unit = UNIT_OF[comparison.by]
    rows: list[tuple[str, ...]] = []
    for name in comparison.samples:
        own, ratio, share = comparison.summary(name), comparison.ratio(name), comparison.share_of_roof(name)
        if name == comparison.roof:
            faster, spread, reached = "", "", f"{(comparison.flop_rate(name) or 0) / 1e9:.0f} GFLOP/s"
        else:
            faster, spread = f"{ratio.median:.2f}", f"{ratio.lower:.2f} .. {ratio.upper:.2f}"
            reached = f"{100 * share:.0f} %" if share is not None else ""
        quartiles = f"{amount(own.lower, unit)} .. {amount(own.upper, unit)}"
        figures = (amount(own.median, unit), quartiles, amount(own.best, unit), str(own.n))
        rows.append((name, *figures, faster, spread, reached))
    return rows


def amount(value: float, unit: str) -> str:
    """Three digits with a unit of readable size."""
    factor, name = next((scale for scale in SCALES[unit] if value >= scale[0]), SCALES[unit][-1])
    return f"{value / factor:.3g} {name}"


def table(comparison: Comparison) -> Table:
    """For the terminal."""
    shown = Table(title=caption(comparison), title_justify="left", caption="\n".join(comparison.notes) or None)
    for index, name in enumerate(header(comparison)):
        shown.add_column(name, justify="left" if index == 0 else "right")
    for row in cells(comparison):
        shown.add_row(*row)
    return shown


def markdown(comparison: Comparison) -> str:
    """For the documentation."""
    lines = [f"**{caption(comparison)}**", "", line(header(comparison)), line(["-", *["-:"] * (len(HEADER) - 1)])]
    lines += [line(row) for row in cells(comparison)]
    lines += [f"\n{note}" for note in comparison.notes]
    return "\n".join(lines) + "\n"


def line(row: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(row)} |"


def header(comparison: Comparison) -> tuple[str, ...]:
    """Column names."""
    return MEMORY_HEADER if comparison.by == "bytes" else HEADER


def caption(comparison: Comparison) -> str:
    """The title, and which clock was read."""
    clock = {"cpu": " (CPU time)", "wall": " (wall time)", "bytes": ""}[comparison.by]
    return f"{comparison.title}{clock}"


def write(folder: Path, name: str, command: str, conditions: dict[str, Any], comparisons: Sequence[Comparison]) -> Path:
    """One JSON file per benchmark, every sample included. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    answer = {"benchmark": name, "command": command, **conditions, "comparisons": [record(one) for one in comparisons]}
    path.write_text(json.dumps(answer, indent=1) + "\n")
    return path


def record(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain data: what was measured, and the summaries drawn from it."""
    names = list(comparison.samples)
    return {
        **asdict(comparison),
        "summary": {name: comparison.summary(name)._asdict() for name in names},
        "ratio": {name: comparison.ratio(name)._asdict() for name in names},
        "share_of_roof": {name: comparison.share_of_roof(name) for name in names},
    }


def read(path: Path) -> tuple[dict[str, Any], list[Comparison]]:
    """The conditions and the comparisons of a file that `write` made."""
    answer = json.loads(path.read_text())
    fields = Comparison.__dataclass_fields__
    found = [Comparison(**{key: one[key] for key in fields}) for one in answer.pop("comparisons")]
    return answer, found


def conditions_as_text(conditions: dict[str, Any]) -> str:
    """One paragraph for the documentation: command, machine, versions, commit, date."""
    commit = (
        f"commit {conditions['git_sha'][:7]}{' with changes' if conditions['git_dirty'] else ''}, "
        if conditions["git_sha"]
        else ""
    )
    versions = ", ".join(f"{name} {conditions[f'{name}_version']}" for name in ("torch", "timm", "peft"))
    return (
        f"`{conditions['command']}`: {conditions['cpu']}, {conditions['cores']} cores, one thread, "
        f"load {conditions['load']:.1f} at the start; Python {conditions['python']}, {versions}; "
        f"{commit}{conditions['date'][:10]}.\n"
    )
