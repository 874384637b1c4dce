import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from petlsparse.analysis.compare import compare
from petlsparse.analysis.comparison import Comparison
from petlsparse.analysis.formats import FORMATS
from petlsparse.analysis.notes import listing
from petlsparse.analysis.quantities import with_unit
from petlsparse.analysis.runs import Runs

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def comparisons(record: Make) -> list[Comparison]:
    runs = [record(90.0 + s, seed=s, method_criterion=c) for c in ("magnitude", "set_a|b") for s in (1, 2, 3)]
    runs.append(record(study="adapter-search", backbone_name="vit-micro", method_kind="linear-probe"))
    return compare(Runs.of(runs))


def test_markdown_has_one_line_per_row_and_equal_numbers_of_cells(comparisons: list[Comparison]) -> None:
    lines = FORMATS["markdown"](comparisons).splitlines()
    table = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert len(table) == (2 + 2) + (2 + 1)
    assert len({line.count("|") for line in table[:4]}) == 1
    assert "| dst magnitude/random d=0.1 | 92.00 ± 2.48 | 1.00 | 3 |" in "\n".join(lines)
    assert any(line.startswith("Mean ±") for line in lines)


def test_latex_escapes_and_closes_what_it_opens(comparisons: list[Comparison]) -> None:
    text = FORMATS["latex"](comparisons)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert r"set\_a|b" in text
    assert r"92.00 $\pm$ 2.48" in text
    assert r"test acc. \%" in text


def test_csv_reads_back(comparisons: list[Comparison]) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](comparisons))))
    assert [row["study"] for row in rows] == ["dst-sweep", "dst-sweep", "adapter-search"]
    assert float(rows[0]["test_accuracy_mean"]) == 92.0
    assert len(rows[0]["run_ids"].split()) == 3


def test_json_is_a_list_of_objects(comparisons: list[Comparison]) -> None:
    rows = json.loads(FORMATS["json"](comparisons))
    assert [row["method"] for row in rows][-1] == "linear-probe"
    assert rows[2]["test_accuracy_low"] is None  # one seed


@pytest.mark.parametrize(
    ("values", "text"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b and c"), ([1, 2, 3], "1, 2 and 3"), ([1, 2, 3, 4], "1–4")],
)
def test_listing(values: list[object], text: str) -> None:
    assert listing(values) == text


def test_a_long_list_takes_the_room_it_has() -> None:
    edges = [f"{i}→{j}" for i in range(13) for j in range(13)]
    assert listing(edges, room=30) == "0→0, 0→1, 0→2 and 166 more"
    assert listing(edges, room=5) == "0→0 and 168 more"  # one value is always named
    assert all(len(listing(edges, room)) <= room for room in range(17, 200))
    assert listing(edges[:3], room=17) == "0→0, 0→1 and 0→2"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3725.0, "s", "62 min"),
        (983_564_288, "byte", "938 MiB"),
        (21_700, "parameter", "21.7k"),
        (6.12e9, "FLOP", "6.12G FLOP"),
        (93.125, "%", "93.12 %"),
        (1234.5, "1/s", "1.23k 1/s"),
        (0.123456789, "nat", "0.123457"),
        (None, "s", "–"),
        (True, "", "True"),
        ("adam", "", "adam"),
    ],
)
def test_what_a_column_holds_in_human_units(value: object, unit: str, text: str) -> None:
    assert with_unit(value, unit) == text
