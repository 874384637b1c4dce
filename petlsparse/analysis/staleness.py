"""Results and the content they rest on: which are stale, and which replicates belong together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from petlsparse.analysis.rows import Record
from petlsparse.tracking.fingerprints import FINGERPRINTS, differing, fingerprints_of
from petlsparse.tracking.record import FINAL

Present = Mapping[str, Mapping[str, str]]
"""The fingerprints of what each run would rest on now, by run id; runs that could not be looked at are missing."""


def stale_columns(record: Record, present: Present) -> tuple[str, ...]:
    """The fingerprints in which a finished run differs from what is there now; none of a run without a result."""
    return differing(record, present.get(record["run_id"], {})) if record["status"] in FINAL else ()


def told(records: Iterable[Record], stale: Mapping[str, Sequence[str]]) -> list[str]:
    """What differs, a line for each data set or backbone: `folder:toy: the test data (3 runs)`.

    `stale` holds the differing fingerprints of the records, by run id.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for record in records:
        words: dict[str, list[str]] = {}
        for name in stale[record["run_id"]]:
            words.setdefault(str(record[FINGERPRINTS[name].named_by]), []).append(FINGERPRINTS[name].words)
        counts.update((subject, ", ".join(differ)) for subject, differ in words.items())
    return [f"{name}: {words} ({n} run{'' if n == 1 else 's'})" for (name, words), n in counts.items()]


def apart(runs: Sequence[Record]) -> list[list[Record]]:
    """Runs of equal settings in groups that rest on the same content, in order of first appearance.

    Fingerprints of which only one value is known tell nothing apart. A run that lacks one that does belongs to the
    only group with which all that is known of it agrees; if there are several, it is in a group of its own, together
    with those that lack the same.
    """
    known = [fingerprints_of(run) for run in runs]
    telling = [name for name in FINGERPRINTS if len({each[name] for each in known if name in each}) > 1]
    contents = [tuple(each.get(name) for name in telling) for each in known]
    complete = list(dict.fromkeys(content for content in contents if None not in content))
    groups: dict[tuple[str | None, ...], list[Record]] = {}
    for run, content in zip(runs, contents, strict=True):
        fitting = [other for other in complete if all(a in (None, b) for a, b in zip(content, other, strict=True))]
        groups.setdefault(fitting[0] if len(fitting) == 1 else content, []).append(run)
    return list(groups.values())


def content_of(runs: Iterable[Record]) -> dict[str, str]:
    """The known fingerprints of runs that rest on the same content."""
    return {name: value for run in runs for name, value in fingerprints_of(run).items()}
