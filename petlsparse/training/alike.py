"""Which trainings can be trained as one, and in what order: those with the same optimizer settings side by side."""

from __future__ import annotations

from collections.abc import Sequence

from petlsparse.training.loop import Training
from petlsparse.training.stack import Incompatible


def check_alike(trainings: Sequence[Training]) -> None:
    """Raises Incompatible, saying why, unless all do the same number of the same steps on the same data."""
    first = trainings[0]
    for what, differs in {
        "lengths, batches or arithmetic": lambda one: one.settings != first.settings,
        "devices": lambda one: one.device != first.device,
        "steps done": lambda one: one.journey.step != first.journey.step,
        "data": lambda one: one.fingerprints != first.fingerprints or one.examples != first.examples,
        "augmentations": lambda one: one.train.random != first.train.random,
        "optimizers": lambda one: type(one.optimizer) is not type(first.optimizer),
    }.items():
        if any(map(differs, trainings)):
            raise Incompatible(f"their {what} differ")
    if any(len(one.base_lrs) > 1 for one in trainings):
        raise Incompatible("an optimizer of several parameter groups steps for one run at a time")


def by_optimizer(trainings: Sequence[Training]) -> list[list[int]]:
    """Members by optimizer settings and schedule, each group in order."""
    groups: dict[object, list[int]] = {}
    for i, training in enumerate(trainings):
        settings = tuple(sorted((name, str(value)) for name, value in training.optimizer.defaults.items()))
        groups.setdefault((training.base_lrs[0], settings, id(training.schedule)), []).append(i)
    return list(groups.values())


def consecutive(groups: Sequence[Sequence[int]]) -> list[range]:
    """Where the groups lie when they stand one after another."""
    ranges, start = [], 0
    for group in groups:
        ranges.append(range(start, start + len(group)))
        start += len(group)
    return ranges
