"""Results and the content they rest on: which are stale, and which replicates belong together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from petlsparse.analysis.runs import Runs
from petlsparse.tracking.fingerprints import FINGERPRINTS, differing, fingerprints_of
from petlsparse.tracking.record import FINAL

CurrentFingerprints = Mapping[str, Mapping[str, str]]
"""The fingerprints of what each run would rest on now, by run id; runs that could not be looked at are missing."""


def fingerprints(runs: Runs) -> list[Mapping[str, str]]:
    """What is known of what every run rests on, by column; see `fingerprints_of`."""
    names = ("backbone_pretrained", *FINGERPRINTS)

    @cache  # most runs rest on the same
    def known(*values: object) -> Mapping[str, str]:
        return fingerprints_of(dict(zip(names, values, strict=True)))

    return [known(*values) for values in zip(*(runs[name] for name in names), strict=True)]


def stale_runs(runs: Runs, current: CurrentFingerprints) -> dict[str, tuple[str, ...]]:
    """The fingerprints in which finished runs differ from what is there now, by run id; without those that do not."""
    compared: dict[tuple[int, int], tuple[str, ...]] = {}  # most runs rest on the same
    found: dict[str, tuple[str, ...]] = {}
    for run_id, status, known in zip(runs["run_id"], runs["status"], fingerprints(runs), strict=True):
        if status in FINAL and run_id in current:
            both = id(known), id(current[run_id])
            if both not in compared:
                compared[both] = differing(known, current[run_id])
            if compared[both]:
                found[run_id] = compared[both]
    return found


def stale_summary(runs: Runs, stale: Mapping[str, Sequence[str]]) -> list[str]:
    """What differs, a line for each data set or backbone: `folder:toy: the test data (3 runs)`.

    `stale` holds the differing fingerprints, by run id, of those that are stale.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for run in runs.where("run_id", stale):
        words: dict[str, list[str]] = {}
        for name in stale[run["run_id"]]:
            words.setdefault(str(run[FINGERPRINTS[name].named_by]), []).append(FINGERPRINTS[name].words)
        counts.update((subject, ", ".join(differ)) for subject, differ in words.items())
    return [f"{name}: {words} ({n} run{'' if n == 1 else 's'})" for (name, words), n in counts.items()]


def split_by_content(runs: Runs) -> list[Runs]:
    """Runs of equal settings in groups that rest on the same content, in order of first appearance.

    Fingerprints of which only one value is known tell nothing apart. A run that lacks one that does belongs to the
    only group with which all that is known of it agrees; if there are several, it is in a group of its own, together
    with those that lack the same.
    """
    known = fingerprints(runs)
    telling = [name for name in FINGERPRINTS if len({each[name] for each in known if name in each}) > 1]
    contents = [tuple(each.get(name) for name in telling) for each in known]
    complete = list(dict.fromkeys(content for content in contents if None not in content))
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for number, content in enumerate(contents):
        fitting = [other for other in complete if all(a in (None, b) for a, b in zip(content, other, strict=True))]
        groups.setdefault(fitting[0] if len(fitting) == 1 else content, []).append(number)
    return [runs.take(numbers) for numbers in groups.values()]


def content_of(runs: Runs) -> dict[str, str]:
    """The known fingerprints of runs that rest on the same content."""
    return {name: value for known in fingerprints(runs) for name, value in known.items()}
