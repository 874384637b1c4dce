"""Rows held by column: cases worked out by hand."""

from petlsparse.analysis.runs import Runs

ROWS = [{"run_id": "a", "lr": 0.1}, {"run_id": "b", "seed": 2}, {"run_id": "c", "lr": 0.1, "seed": 2}]
RUNS = Runs.of(ROWS)


def test_what_a_row_lacks_is_none() -> None:
    assert RUNS["lr"] == [0.1, None, 0.1]
    assert RUNS["seed"] == [None, 2, 2]
    assert RUNS["momentum"] == [None, None, None]
    assert list(RUNS) == [{"run_id": "a", "lr": 0.1, "seed": None}, {"run_id": "b", "lr": None, "seed": 2}, ROWS[2]]


def test_rows_are_chosen_by_number_and_by_value_in_the_order_asked_for() -> None:
    later = RUNS.take([2, 1])
    assert later["run_id"] == ["c", "b"]
    assert later.take([1])["run_id"] == ["b"]  # numbers are of the rows chosen before
    assert later.where("lr", (None,))["run_id"] == ["b"]
    assert not RUNS.where("run_id", {"d"})


def test_equal_values_belong_together_in_order_of_first_appearance() -> None:
    assert {key: runs["run_id"] for key, runs in RUNS.split_by("seed").items()} == {(None,): ["a"], (2,): ["b", "c"]}
    assert [runs["run_id"] for runs in RUNS.take([2, 0]).split_by("lr").values()] == [["c", "a"]]


def test_tables_below_each_other_have_the_columns_of_all() -> None:
    runs = Runs.concatenated([{"run_id": ["a"], "lr": [0.1]}, {"run_id": ["b", "c"], "seed": [1, 2]}])
    assert (runs["run_id"], runs["lr"], runs["seed"]) == (["a", "b", "c"], [0.1, None, None], [None, 1, 2])
