"""From recorded runs to one row per configuration, summarised over its seeds."""

from collections import Counter
from types import MappingProxyType

from petlsparse.analysis.comparison import COSTS, Comparison, ConfigurationResult, scores_of
from petlsparse.analysis.labels import edges_unsaid
from petlsparse.analysis.notes import notes_on
from petlsparse.analysis.replicates import Replicates, group
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.staleness import CurrentFingerprints, stale_runs
from petlsparse.analysis.statistics import mean, summarise


def compare(
    runs: Runs, current: CurrentFingerprints = MappingProxyType({}), metric: str = "accuracy"
) -> list[Comparison]:
    """One comparison per study; candidates of a search have one of their own. Runs that only score edges are in none.

    To choose by a score and then to report it would be to report luck.

    `current` is what is there now for the runs that somebody looked at: rows that rest on something else are stale.
    Runs from before a metric was recorded have none, and are not counted.
    """
    numbers: dict[tuple[str, bool], list[int]] = {}
    for number, (study, role, kind) in enumerate(zip(runs["study"], runs["role"], runs["method_kind"], strict=True)):
        if kind == "score":
            continue
        numbers.setdefault((study, role == "candidate"), []).append(number)
    return [_compare(*key, runs.take(rows), current, metric) for key, rows in numbers.items()]


def _compare(study: str, candidates: bool, runs: Runs, current: CurrentFingerprints, metric: str) -> Comparison:
    grouping = group(runs)
    rows = tuple(_row(replicates, current, metric) for replicates in grouping.configurations)
    notes = notes_on(runs, rows, grouping, candidates, metric)
    return Comparison(study, candidates, grouping.varies, grouping.columns, grouping.contents, rows, notes, metric)


def _row(replicates: Replicates, current: CurrentFingerprints, metric: str) -> ConfigurationResult:
    done = replicates.runs.where("status", ("done",))
    looked_at = replicates.runs.where("run_id", current)
    stale = dict.fromkeys(name for differ in stale_runs(looked_at, current).values() for name in differ)
    return ConfigurationResult(
        method=replicates.method,
        settings=replicates.settings,
        run_ids=tuple(replicates.runs["run_id"]),
        statuses=dict(Counter(replicates.runs["status"])),
        scores={name: summarise(done[name]) for name in scores_of(metric)},
        costs={name: mean(done[name]) for name in COSTS},
        selected=any(value is not None for value in done["val_accuracy_best"]) or not done,
        content=replicates.content,
        unsaid_edges=next(filter(None, replicates.runs["edges"]), None) if edges_unsaid(replicates.runs) else None,
        stale=tuple(stale) if looked_at else None,
    )
