"""Which members can be trained as one, and in what order: those with the same optimizer settings side by side."""

from __future__ import annotations

from collections.abc import Sequence

from petlsparse.cohorts.models import Incompatible
from petlsparse.training.member import Member


def check_compatible(members: Sequence[Member]) -> None:
    """Raises Incompatible, saying why, unless all do the same number of the same steps on the same data."""
    first = members[0]
    for what, differs in {
        "lengths, batches or arithmetic": lambda one: one.settings != first.settings,
        "tasks": lambda one: one.task != first.task,
        "devices": lambda one: one.device != first.device,
        "steps done": lambda one: one.state.step != first.state.step,
        "data": lambda one: _content(one) != _content(first) or one.examples != first.examples,
        "augmentations": lambda one: one.train.random != first.train.random,
        "optimizers": lambda one: type(one.optimizer) is not type(first.optimizer),
    }.items():
        if any(map(differs, members)):
            raise Incompatible(f"their {what} differ")


def _content(member: Member) -> dict[str, str]:
    """Fingerprints of data and pre-trained weights: methods may come from different files."""
    return {name: value for name, value in member.fingerprints.items() if name != "source_fingerprint"}


def by_optimizer(members: Sequence[Member]) -> list[list[int]]:
    """Members by the settings of all parameter groups of their optimizers, and by schedule, each group in order."""
    groups: dict[object, list[int]] = {}
    for i, member in enumerate(members):
        settings = [
            {name: str(value) for name, value in group.items() if name not in ("params", "lr")}
            for group in member.optimizer.param_groups
        ]
        groups.setdefault((str(settings), tuple(member.base_lrs), id(member.schedule)), []).append(i)
    return list(groups.values())


def consecutive(groups: Sequence[Sequence[int]]) -> list[range]:
    """Where the groups lie when they stand one after another."""
    ranges, start = [], 0
    for group in groups:
        ranges.append(range(start, start + len(group)))
        start += len(group)
    return ranges
