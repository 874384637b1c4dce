"""Rows of the `runs` table, held by column: as one mapping a row, 100,000 of them would fill memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Runs:
    """Some rows of a table. `runs[name]` is a column of them, iteration gives them one by one."""

    columns: Mapping[str, Sequence[Any]]
    """Values by column, what is missing None."""
    indices: Sequence[int]
    """Where in the columns these rows are, in order."""

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Runs:
        """From rows one by one; the columns are in order of first appearance."""
        columns: dict[str, list[Any]] = {}
        number = 0
        for row in rows:
            for name in row:
                if name not in columns:
                    columns[name] = [None] * number
            for name, values in columns.items():
                values.append(row.get(name))
            number += 1
        return cls(columns, range(number))

    @classmethod
    def concatenated(cls, tables: Sequence[Mapping[str, Sequence[Any]]]) -> Runs:
        """All rows of tables, given by their columns, of which none is empty."""
        lengths = [len(next(iter(table.values()))) for table in tables]
        columns = {
            name: [value for table, n in zip(tables, lengths, strict=True) for value in table.get(name, [None] * n)]
            for name in dict.fromkeys(name for table in tables for name in table)
        }
        return cls(columns, range(sum(lengths)))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, name: str) -> list[Any]:
        """The values of a column; None in every row for one that is not there."""
        values = self.columns.get(name)
        return [None] * len(self) if values is None else [values[index] for index in self.indices]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows as mappings, made one at a time."""
        return ({name: values[index] for name, values in self.columns.items()} for index in self.indices)

    def take(self, numbers: Iterable[int]) -> Runs:
        """The rows of these numbers, counted from 0, in the order given."""
        return Runs(self.columns, [self.indices[number] for number in numbers])

    def where(self, name: str, values: Collection[Any]) -> Runs:
        """The rows that have one of these values in a column."""
        return self.take(number for number, value in enumerate(self[name]) if value in values)

    def split_by(self, *names: str) -> dict[tuple[Any, ...], Runs]:
        """The rows that have equal values in all these columns, by these values, in order of first appearance."""
        numbers: dict[tuple[Any, ...], list[int]] = {}
        for number, values in enumerate(zip(*(self[name] for name in names), strict=True)):
            numbers.setdefault(values, []).append(number)
        return {values: self.take(group) for values, group in numbers.items()}
