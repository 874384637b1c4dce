"""From what is fixed and what varies to all combinations; pure functions, ignorant of what the settings mean."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, TypeVar

T = TypeVar("T")


def combinations(zips: Sequence[Mapping[str, Sequence[T]]], grid: Mapping[str, Sequence[T]]) -> Iterator[dict[str, T]]:
    """Every choice of one row per group of `zips` and one value per axis of `grid`; the last axis moves fastest."""
    axes = [
        [dict(zip(group, row, strict=True)) for row in zip(*group.values(), strict=True)] for group in zips if group
    ]
    axes += [[{key: value} for value in values] for key, values in grid.items()]
    for choice in product(*axes):
        yield {key: value for part in choice for key, value in part.items()}


def number_of_combinations(zips: Sequence[Mapping[str, Sequence[T]]], grid: Mapping[str, Sequence[T]]) -> int:
    """How many `combinations` there are, without making them."""
    rows = [len(next(iter(group.values()))) for group in zips if group]
    return prod(rows) * prod(map(len, grid.values()))


def matches(settings: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    """Whether `settings` have, for every key of `rule`, its value or one of its list of values."""
    return bool(rule) and all(
        key in settings and (settings[key] == value or (isinstance(value, list) and settings[key] in value))
        for key, value in rule.items()
    )


def varying(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    """The keys with more than one value among those `settings` that have the key."""
    first: dict[str, Any] = {}
    varies: dict[str, bool] = {}
    for each in settings:
        for key, value in each.items():
            varies[key] = varies.get(key, False) or first.setdefault(key, value) != value
    return {key for key, found in varies.items() if found}
