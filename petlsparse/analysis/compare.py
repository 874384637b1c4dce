"""From recorded runs to one row per arm, summarised over its seeds."""

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType

from petlsparse.analysis.arms import Arm, group
from petlsparse.analysis.labels import is_drawn
from petlsparse.analysis.notes import notes_on
from petlsparse.analysis.rows import COSTS, Comparison, Record, Row, scores_of
from petlsparse.analysis.staleness import Present, stale_columns
from petlsparse.analysis.statistics import mean, summarise


def compare(
    records: Iterable[Record], present: Present = MappingProxyType({}), metric: str = "accuracy"
) -> list[Comparison]:
    """One comparison per study, from rows of the `runs` table; candidates of a search have one of their own.

    To choose by a score and then to report it would be to report luck.

    `present` is what is there now for the runs that somebody looked at: rows that rest on something else are stale.
    Runs from before a metric was recorded have none, and are not counted.
    """
    studies: dict[tuple[str, bool], list[Record]] = {}
    for record in records:
        studies.setdefault((record["study"], record.get("role") == "candidate"), []).append(record)
    return [_compare(study, candidates, rows, present, metric) for (study, candidates), rows in studies.items()]


def _compare(study: str, candidates: bool, records: list[Record], present: Present, metric: str) -> Comparison:
    grouping = group(records)
    rows = tuple(_row(arm, present, metric) for arm in grouping.arms)
    notes = notes_on(records, rows, grouping, candidates, metric)
    return Comparison(study, candidates, grouping.varies, grouping.columns, grouping.contents, rows, notes, metric)


def _row(arm: Arm, present: Present, metric: str) -> Row:
    done = [run for run in arm.runs if run["status"] == "done"]
    looked_at = [run for run in arm.runs if run["run_id"] in present]
    stale = dict.fromkeys(name for run in looked_at for name in stale_columns(run, present))
    return Row(
        method=arm.method,
        settings=arm.settings,
        run_ids=tuple(run["run_id"] for run in arm.runs),
        statuses=dict(Counter(run["status"] for run in arm.runs)),
        scores={name: summarise(run.get(name) for run in done) for name in scores_of(metric)},
        costs={name: mean(run.get(name) for run in done) for name in COSTS},
        selected=any(run.get("val_accuracy_best") is not None for run in done) or not done,
        content=arm.content,
        drawn=next((run["edges"] for run in arm.runs if is_drawn(run) and run.get("edges")), None),
        stale=tuple(stale) if looked_at else None,
    )
