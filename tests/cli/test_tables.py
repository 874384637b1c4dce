"""Tables in the terminal look the same however they are laid out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from petlsparse._cli import _console, _tables
from petlsparse._cli._console import grid
from petlsparse.analysis.table import TextColumn

CELLS = {
    "method": ("static d=0.1", "", "dst magnitude/random d=0.05", ""),
    "test acc. %": ("93.12 ± 0.41", "9.10", "", ""),
    "名前": ("é", "数据", "x", ""),
}


def columns(cells: dict[str, tuple[str, ...]]) -> list[TextColumn]:
    return [TextColumn(header, each, numeric="%" in header) for header, each in cells.items()]


def lines(table: object, capsys: pytest.CaptureFixture[str]) -> list[str]:
    _console.out.print(table)
    return capsys.readouterr().out.splitlines()


def row_by_row(shown: Sequence[TextColumn]) -> object:
    rows = zip(*(column.cells for column in shown), strict=True)
    return grid([column.header for column in shown], rows, [column.header for column in shown if column.numeric])


@pytest.mark.parametrize("width", [30, 80])
@pytest.mark.parametrize("cell", ["plain", "two\nlines", "ends\n"])
def test_a_table_looks_as_if_laid_out_row_by_row(
    width: int, cell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_console.out, "width", width)
    shown = columns(CELLS | {"last": (cell, "", "b", "")})
    table, missing = _tables.fitted(shown)
    assert not missing
    assert lines(table, capsys) == lines(row_by_row(shown), capsys)
