"""Which results are stale, and which replicates rest on the same content: cases worked out by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from petlsparse.analysis.compare import compare
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.staleness import split_by_content, stale_runs, stale_summary
from petlsparse.analysis.table import records_of, text_columns
from petlsparse.tracking.fingerprints import FINGERPRINTS, differing
from petlsparse.tracking.tables import RUNS

Make = Callable[..., dict[str, Any]]

DATA, TEST, WEIGHTS, FORWARD, _ = FINGERPRINTS


def test_every_fingerprint_is_a_documented_column_that_no_execution_changes() -> None:
    documented = {column.name: column for column in RUNS.columns}
    assert not any(documented[name].incidental for name in FINGERPRINTS)


@pytest.mark.parametrize(
    ("recorded", "present", "differ"),
    [
        ({DATA: "a", TEST: "t"}, {DATA: "a", TEST: "t"}, ()),
        ({DATA: "a", TEST: "t"}, {DATA: "b", TEST: "u"}, (DATA, TEST)),
        ({DATA: "a", TEST: "t"}, {DATA: "a", TEST: "u"}, (TEST,)),
        ({DATA: "a", TEST: None}, {DATA: "a", TEST: "u"}, ()),
        ({DATA: "a"}, {TEST: "u"}, ()),
        ({}, {DATA: "a"}, ()),
        ({WEIGHTS: "w", FORWARD: "f", "backbone_pretrained": True}, {WEIGHTS: "x", FORWARD: "g"}, (WEIGHTS, FORWARD)),
        ({WEIGHTS: "w", FORWARD: "f", "backbone_pretrained": False}, {WEIGHTS: "x", FORWARD: "f"}, ()),
        ({WEIGHTS: "w", FORWARD: "f", "backbone_pretrained": False}, {WEIGHTS: "w", FORWARD: "g"}, (FORWARD,)),
    ],
)
def test_what_is_known_and_not_drawn_from_the_seed_can_differ(
    recorded: dict[str, Any], present: dict[str, str], differ: tuple[str, ...]
) -> None:
    assert differing(recorded, present) == differ


@pytest.mark.parametrize(("status", "stale"), [("done", True), ("diverged", True), ("failed", False)])
def test_only_results_are_stale(status: str, stale: bool) -> None:
    runs = Runs.of([{"run_id": "r", "status": status, DATA: "a"}])
    assert stale_runs(runs, {"r": {DATA: "b"}}) == ({"r": (DATA,)} if stale else {})
    assert stale_runs(runs, {}) == {}


@pytest.mark.parametrize(
    ("contents", "groups"),
    [
        (["A", "A"], [[0, 1]]),
        (["A", "B", "A"], [[0, 2], [1]]),
        ([None, None], [[0, 1]]),
        ([None, "A"], [[0, 1]]),  # nothing speaks against it
        ([(None, "t"), ("A", None)], [[0, 1]]),
        ([None, "A", "B"], [[0], [1], [2]]),  # it may be either
        ([None, "A", "B", None], [[0, 3], [1], [2]]),
        ([("A", None), ("A", "t"), ("B", "u")], [[0, 1], [2]]),  # it can only be the first
        ([("A", None), ("A", "t"), ("A", "u")], [[0], [1], [2]]),
        ([("A", None), ("B", None), ("A", "t")], [[0, 2], [1]]),  # one value tells no test data apart
        ([("A", None), ("B", "t"), ("B", "u")], [[0], [1], [2]]),  # it can be none of these
    ],
)
def test_replicates_stay_together_unless_their_content_is_known_to_differ(
    contents: list[Any], groups: list[list[int]]
) -> None:
    pairs = [content if isinstance(content, tuple) else (content, None) for content in contents]
    runs = [{"number": number, DATA: data, TEST: test} for number, (data, test) in enumerate(pairs)]
    assert [[run["number"] for run in group] for group in split_by_content(Runs.of(runs))] == groups


def test_what_differs_is_told_by_data_set_and_backbone() -> None:
    rows = [{"run_id": str(n), "data_name": "folder:toy", "backbone_name": "vit-micro"} for n in range(3)]
    lines = stale_summary(Runs.of(rows), {"0": (DATA, TEST), "1": (DATA, TEST), "2": (TEST, WEIGHTS)})
    assert lines == [
        "folder:toy: the training or validation data, the test data (2 runs)",
        "folder:toy: the test data (1 run)",
        "vit-micro: the weights of the backbone (1 run)",
    ]


def test_rows_of_other_content_show_their_hashes_and_their_own_statistics(record: Make) -> None:
    contents = ["a" * 12, "a" * 12, "b" * 12]
    runs = [record(90.0 + n, seed=n, **{DATA: data}) for n, data in enumerate(contents)]
    (table,) = compare(Runs.of(runs))
    assert [(row.scores["test_accuracy"].mean, row.scores["test_accuracy"].n) for row in table.rows] == [
        (90.5, 2),
        (92.0, 1),
    ]
    (data,) = (column for column in text_columns(table) if column.header == "train/val data")
    assert (data.cells, data.numeric) == (("aaaaaa", "bbbbbb"), False)
    assert [row[DATA] for row in records_of(table)] == ["a" * 12, "b" * 12]
    assert any("rows apart, never averaged" in note for note in table.notes)


def test_a_run_that_fits_several_rows_is_told(record: Make) -> None:
    runs = [record(seed=n, **{DATA: data}) for n, data in enumerate(["aa", "bb", None])]
    (table,) = compare(Runs.of(runs))
    assert {column.header: column.cells for column in text_columns(table)}["train/val data"] == ("aa", "bb", "–")
    assert any("it was not recorded, and fits several rows or none" in note for note in table.notes)


def test_only_what_tells_rows_apart_has_a_column(record: Make) -> None:
    runs = [record(seed=1, **{DATA: "aa", TEST: "t"}), record(seed=2, **{TEST: "u"})]
    (table,) = compare(Runs.of(runs))
    assert (len(table.rows), table.contents) == (2, (TEST,))


def test_other_data_under_another_name_need_no_hash(record: Make) -> None:
    runs = [record(data_name="digits", **{DATA: "aa"}), record(data_name="shapes-count", **{DATA: "bb"})]
    (table,) = compare(Runs.of(runs))
    assert (table.columns, table.contents) == (("data_name",), ())


def test_stale_rows_are_marked_where_somebody_looked(record: Make) -> None:
    (table,) = compare(Runs.of([record(run_id="r", **{DATA: "aa"})]))
    assert [row["stale"] for row in records_of(table)] == [None]
    (table,) = compare(Runs.of([record(run_id="r", **{DATA: "aa"})]), {"r": {DATA: "bb"}})
    assert {column.header: column.cells for column in text_columns(table)}["stale"] == ("train/val data",)
    assert [row["stale"] for row in records_of(table)] == [[DATA]]
    assert any(note.startswith("Stale: the training or validation data") for note in table.notes)
