"""Options that several commands share, each written once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ._complete import metric_names, recipe_names, run_ids, stores


class ProgressStyle(StrEnum):
    """How progress is shown; `auto` is rich on a terminal and plain elsewhere."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    none = "none"


class SparseBackend(StrEnum):
    """`masked` dense weights, truly sparse `csr` (on the CPU), or for each layer what is faster here."""

    auto = "auto"
    masked = "masked"
    csr = "csr"


class StaleResults(StrEnum):
    """What to do where finished runs rest on other data or weights than are there now."""

    refuse = "refuse"
    keep = "keep"
    redo = "redo"


_SWEEP = "Changes to the recipe"
_EXECUTION = "Execution"

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a TOML file.", autocompletion=recipe_names)
]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="Run id, or its beginning.", autocompletion=run_ids)]
Metric = Annotated[
    str,
    typer.Option(
        "--metric", metavar="NAME", help="What to compare by, such as macro_f1 or loss.", autocompletion=metric_names
    ),
]
Stores = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders.", autocompletion=stores)]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Results folder; results/<recipe name> unless given.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a value; repeatable.", rich_help_panel=_SWEEP),
]
Axes = Annotated[
    list[str] | None,
    typer.Option("--axis", metavar="KEY=V1,V2", help="Vary a value; repeatable.", rich_help_panel=_SWEEP),
]
Seeds = Annotated[
    str | None,
    typer.Option("--seeds", metavar="5|1,2,3|1-5", help="How many seeds, or which.", rich_help_panel=_SWEEP),
]
Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to train.", rich_help_panel=_EXECUTION)
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=1, help="Runs at a time.", rich_help_panel=_EXECUTION)
]
PerGpu = Annotated[
    int | None,
    typer.Option("--per-gpu", metavar="N", min=1, help="Runs at a time on each GPU.", rich_help_panel=_EXECUTION),
]
Retry = Annotated[
    int | None,
    typer.Option(
        "--retry",
        metavar="N",
        min=0,
        help="Further attempts of a run whose worker died or that lacked memory or a file; 1 unless given.",
        rich_help_panel=_EXECUTION,
    ),
]
Backend = Annotated[
    SparseBackend | None,
    typer.Option(
        "--backend",
        metavar="auto|masked|csr",
        help="How sparse layers compute; auto unless given: what is faster on this machine, layer by layer.",
        rich_help_panel=_EXECUTION,
    ),
]


def _cohort_size(text: str) -> int | str:
    from petlsparse.recipe.recipe_file import parse_cohort_size

    try:
        return parse_cohort_size(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, not {text}") from None


Cohort = Annotated[
    str | None,
    typer.Option(
        "--cohort",
        metavar="auto|off|N",
        parser=_cohort_size,
        help="How many runs to train as one where they allow it; auto unless given.",
        rich_help_panel=_EXECUTION,
    ),
]
CacheMemory = Annotated[
    str | None,
    typer.Option(
        "--cache-memory",
        metavar="SIZE|off",
        help="What values of frozen networks, kept for all runs, may take; half of the free memory unless given.",
        rich_help_panel=_EXECUTION,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=0, help="Train no more than this many runs now.", rich_help_panel=_EXECUTION
    ),
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Start anew; earlier results are set aside, not deleted.", rich_help_panel=_EXECUTION),
]
Stale = Annotated[
    StaleResults,
    typer.Option(
        "--stale",
        metavar="refuse|keep|redo",
        help="What to do with results of other data or weights than are there now: stop, keep them (marked in tables), "
        "or set them aside and train again.",
        rich_help_panel=_EXECUTION,
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Also load data and models, and say which results rest on others (stale).")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and train nothing.", rich_help_panel=_EXECUTION)]
Progress = Annotated[
    ProgressStyle,
    typer.Option(
        "--progress", metavar="auto|rich|plain|none", help="How to show progress.", rich_help_panel=_EXECUTION
    ),
]
