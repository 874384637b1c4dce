"""The sentences under a comparison table, worked out from the data: what varies, n, interval, machine."""

from collections.abc import Iterable, Sequence
from typing import Any

from petlsparse.analysis.comparison import ConfigurationResult
from petlsparse.analysis.quantities import known
from petlsparse.analysis.replicates import Grouping
from petlsparse.analysis.runs import Runs
from petlsparse.recipe.optimization import SELECT_BY
from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.tables import MEASURES

CANDIDATES = (
    "Candidates of a search, which chose by what selects weights on validation: no results. A configuration of which a "
    "run diverged is not chosen."
)


def notes_on(
    runs: Runs, rows: Sequence[ConfigurationResult], grouping: Grouping, candidates: bool, metric: str
) -> tuple[str, ...]:
    """The notes for a table with these rows, made of these runs grouped so."""
    notes = [
        *([CANDIDATES] if candidates else [_numbers(rows, metric), _selection(runs, rows, metric), _chosen(runs)]),
        _examples(runs),
        _variation(runs, rows, grouping.columns, grouping.implied),
        _content(rows, grouping.contents),
        _stale(rows),
        _missing(rows),
        _versions(runs),
        _origin(runs),
    ]
    return tuple(note for note in notes if note)


def _numbers(rows: Sequence[ConfigurationResult], metric: str) -> str:
    counts = sorted({row.scores[f"test_{metric}"].n for row in rows})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[-1] == 0:
        return "No run is done." if not any(row.statuses.get("done") for row in rows) else "Not recorded of any run."
    if counts[-1] == 1:
        return f"Test {MEASURES[metric].words} of one seed, n = 1: no interval."
    alone = " A row with n = 1 has none." if counts[0] < 2 else ""
    return f"Mean ± half-width of the 95 % Student-t interval over n = {n} seeds; SD is the sample's.{alone}"


def _selection(runs: Runs, rows: Sequence[ConfigurationResult], metric: str) -> str:
    words = MEASURES[metric].words
    selected_by = list(dict.fromkeys(name or SELECT_BY for name in runs["training_select_by"]))
    by = f" by {listing(map(_words, selected_by))}" if selected_by != [SELECT_BY] else ""
    best = f"Test {words} is read once, with the weights that were best on validation{by}"
    if all(row.selected for row in rows):
        return best + "."
    if any(row.selected for row in rows):
        return best + "; † no validation split, last weights."
    return f"No validation split: test {words} of the last weights."


def _words(metric: str) -> str:
    """What a metric is called; that of a run may be no longer among those of now."""
    return MEASURES[metric].words if metric in MEASURES else metric


def _chosen(runs: Runs) -> str:
    if not any(runs["role"]):
        return ""
    return "A search chose among candidates on validation, with seeds that are not these."


def _variation(
    runs: Runs,
    rows: Sequence[ConfigurationResult],
    columns: Sequence[str],
    implied: Sequence[str],
) -> str:
    varies = [*(["method"] if len({row.method for row in rows}) > 1 else []), *columns]
    numbers = sorted({seed for seed in runs["seed"] if seed is not None})
    seeds = f"over {'seeds' if len(numbers) > 1 else 'seed'} {listing(numbers)} (initialisation, data order, draws)"
    follows = f"; {listing(implied)} set along with them" if implied else ""
    return f"Rows vary {listing(varies)}{follows}; {seeds}." if varies else f"Replicated {seeds}."


def _content(rows: Sequence[ConfigurationResult], contents: Sequence[str]) -> str:
    if not contents:
        return ""
    words = listing(FINGERPRINTS[name].words for name in contents)
    note = f"Runs that differ in {words} are rows apart, never averaged; columns show the content's hash."
    if any(name not in row.content for row in rows for name in contents):
        note += " Where it is – it was not recorded, and fits several rows or none."
    return note


def _stale(rows: Sequence[ConfigurationResult]) -> str:
    names = [name for name in FINGERPRINTS if any(name in (row.stale or ()) for row in rows)]
    if not names:
        return ""
    return f"Stale: {listing(FINGERPRINTS[name].words for name in names)} of that row is not what is there now."


def _missing(rows: Sequence[ConfigurationResult]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        for status, n in row.statuses.items():
            if status != "done":
                counts[status] = counts.get(status, 0) + n
    if not counts:
        return ""
    return "Not in the means: " + ", ".join(f"{n} {status}" for status, n in counts.items()) + "."


def _examples(runs: Runs) -> str:
    """How many images the parts of each data set had, where it is known."""
    found: dict[str, None] = {}
    for data, *values in _distinct(runs, "data_name", "examples_train", "examples_val", "examples_test", "classes"):
        counts = [known(value) for value in values]
        if None not in counts:
            train, val, test, classes = (f"{count:,.0f}" for count in counts)
            found[f"{data}: {train} / {val} / {test} images, {classes} classes"] = None
    return f"To train, validate and test {'; '.join(found)}." if found else ""


def _versions(runs: Runs) -> str:
    """That versions of petlsparse are mixed, which may differ in results: see CHANGES.md."""
    versions = [str(version) for (version,) in _distinct(runs, "petlsparse_version") if version]
    return f"Made by petlsparse {listing(versions)}, between which results may differ." if len(versions) > 1 else ""


def _origin(runs: Runs) -> str:
    """Machine, versions and code, from the runs' provenance."""

    def text(*columns: str, length: int | None = None) -> str:
        values = (next(filter(None, of_a_run), None) for of_a_run in _distinct(runs, *columns))
        return " / ".join(dict.fromkeys(str(value)[:length] for value in values if value is not None))

    dirty = " with uncommitted changes" if any(runs["git_dirty"]) else ""
    parts = [
        text("device_name", "cpu"),
        f"{threads} thread{'' if threads == '1' else 's'}" if (threads := text("threads")) else "",
        f"torch {torch}" if (torch := text("torch_version")) else "",
        f"git {commits}{dirty}" if (commits := text("git_sha", length=7)) else "",
    ]
    known = [part for part in parts if part]
    return ", ".join(known) + "." if known else ""


def _distinct(runs: Runs, *columns: str) -> list[tuple[Any, ...]]:
    """What runs have in these columns, in order of first appearance."""
    return list(dict.fromkeys(zip(*(runs[name] for name in columns), strict=True)))


def listing(values: Iterable[object], room: int | None = None) -> str:
    """`a`, `a and b`, `a, b and c`; runs of four or more whole numbers as `1–5`.

    What is longer than `room` characters is cut short between values: `a, b and 167 more`.
    """
    items = list(values)
    numbers = [item for item in items if isinstance(item, int)]
    if len(numbers) == len(items) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}–{numbers[-1]}"
    texts = [str(item) for item in items]
    text = " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
    if room is None or len(text) <= room or len(texts) < 2:
        return text
    shorter = (f"{', '.join(texts[:n])} and {len(texts) - n} more" for n in range(len(texts) - 1, 1, -1))
    return next((each for each in shorter if len(each) <= room), f"{texts[0]} and {len(texts) - 1} more")
