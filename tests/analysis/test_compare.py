import math
from collections.abc import Callable
from typing import Any

import pytest

from petlsparse.analysis.compare import compare
from petlsparse.analysis.comparison import Comparison
from petlsparse.analysis.runs import Runs
from petlsparse.analysis.table import records_of, text_columns

Record = dict[str, Any]
Make = Callable[..., Record]


def only(records: list[Record]) -> Comparison:
    (comparison,) = compare(Runs.of(records))
    return comparison


def test_runs_that_differ_only_in_seed_share_a_row(record: Make) -> None:
    runs = [record(90.0 + seed, seed=seed, method_criterion=c) for c in ("magnitude", "set") for seed in (1, 2, 3)]
    table = only(runs)
    assert [row.method for row in table.rows] == ["dst magnitude/random d=0.1", "dst set/random d=0.1"]
    assert [row.scores["test_accuracy"].n for row in table.rows] == [3, 3]
    assert table.rows[0].scores["test_accuracy"].mean == pytest.approx(92.0)
    assert table.varies == ("method_criterion",)


def test_order_of_rows_is_order_of_runs(record: Make) -> None:
    densities = [0.2, 0.05, 0.1]
    rows = only([record(method_density=d, seed=s) for s in (1, 2) for d in densities]).rows
    assert [row.method.split("=")[-1] for row in rows] == ["0.2", "0.05", "0.1"]


def test_diverged_and_failed_runs_are_counted_but_not_averaged(record: Make) -> None:
    runs = [record(90.0, seed=1), record(None, seed=2, status="diverged"), record(None, seed=3, status="failed")]
    (row,) = only(runs).rows
    assert row.statuses == {"done": 1, "diverged": 1, "failed": 1}
    assert row.scores["test_accuracy"].n == 1
    columns = {column.header: column.cells for column in text_columns(only(runs))}
    assert columns["not done"] == ("1 diverged, 1 failed",)
    assert "Not in the means: 1 diverged, 1 failed." in only(runs).notes


def test_a_row_without_finished_runs_shows_dashes(record: Make) -> None:
    columns = {c.header: c.cells for c in text_columns(only([record(None, status="failed", wall_seconds=None)]))}
    assert columns["test acc. %"] == ("–",)
    assert columns["n"] == ("0",)
    assert columns["time"] == ("–",)


def test_one_seed_shows_no_interval(record: Make) -> None:
    table = only([record(93.125)])
    columns = {column.header: column.cells for column in text_columns(table)}
    assert (columns["test acc. %"], columns["SD"], columns["n"]) == (("93.12",), ("–",), ("1",))
    assert any("no interval" in note for note in table.notes)


def test_interval_and_sd_worked_by_hand(record: Make) -> None:
    # 90, 91, 92: mean 91, SD 1, half-width 4.30265 / sqrt(3) = 2.484.
    table = only([record(90.0, seed=1), record(91.0, seed=2), record(92.0, seed=3)])
    columns = {column.header: column.cells for column in text_columns(table)}
    assert (columns["test acc. %"], columns["SD"]) == (("91.00 ± 2.48",), ("1.00",))
    assert table.notes[0].startswith("Mean ± half-width of the 95 % Student-t interval over n = 3 seeds")


def test_a_varying_setting_outside_the_method_gets_a_column(record: Make) -> None:
    table = only([record(data_name=name, optimizer_lr=lr) for name in ("digits", "cifar10") for lr in (0.1, 0.2)])
    assert table.columns == ("data_name", "optimizer_lr")
    headers = [column.header for column in text_columns(table)]
    assert headers[:3] == ["data", "lr", "method"]


def test_a_setting_that_follows_the_method_is_named_but_gets_no_column(record: Make) -> None:
    runs = [record(method_criterion="set", optimizer_lr=0.1), record(method_criterion="snip", optimizer_lr=0.2)]
    table = only(runs)
    assert table.columns == ()
    assert any("optimizer_lr set along with them" in note for note in table.notes)


def test_runs_without_validation_are_marked_as_last_weights(record: Make) -> None:
    runs = [record(90.0), record(91.0, data_train_on="train+val", val_accuracy_best=None)]
    runs[0]["data_train_on"] = "train"
    table = only(runs)
    columns = {column.header: column.cells for column in text_columns(table)}
    assert columns["test acc. %"] == ("90.00", "91.00 †")
    assert any("† no validation split, last weights" in note for note in table.notes)
    everything_fitted = only([runs[1]])
    assert "No validation split: test accuracy of the last weights." in everything_fitted.notes


def test_studies_are_compared_apart(record: Make) -> None:
    runs = [record(), record(study="adapter-search", method_kind="linear-probe")]
    assert [comparison.study for comparison in compare(Runs.of(runs))] == ["dst-sweep", "adapter-search"]


def test_costs_are_means_over_finished_runs(record: Make) -> None:
    runs = [record(seed=1, wall_seconds=10.0), record(seed=2, wall_seconds=20.0)]
    runs.append(record(None, seed=3, status="failed", wall_seconds=1000.0))
    (row,) = only(runs).rows
    assert row.costs["wall_seconds"] == 15.0
    assert row.costs["training_flops"] == 2.0e9


def test_what_was_measured_is_no_setting_whatever_its_name_begins_with(record: Make) -> None:
    changes = [{"training_flops": 1.0, "data_fingerprint": None}, {"training_flops": 2.0, "data_fingerprint": "bb"}]
    table = only([record(seed=seed, **change) for seed, change in enumerate(changes)])
    assert len(table.rows) == 1


def test_records_carry_unrounded_numbers_and_the_ends_of_the_interval(record: Make) -> None:
    (row,) = records_of(only([record(90.0, seed=1), record(91.0, seed=2), record(92.0, seed=3)]))
    assert row["test_accuracy_mean"] == 91.0
    assert row["test_accuracy_high"] - row["test_accuracy_low"] == pytest.approx(2 * 4.30265 / math.sqrt(3), rel=1e-5)
    assert (row["done"], row["failed"], row["n"]) == (3, 0, 3)
    assert len(row["run_ids"]) == 3


def test_the_last_note_names_machine_versions_and_code(record: Make) -> None:
    here = {"cpu": "Some CPU", "device": "cpu", "threads": 1, "torch_version": "2.15.0", "git_sha": "0123456789abcdef"}
    assert only([record(**here, git_dirty=False)]).notes[-1] == "Some CPU, 1 thread, torch 2.15.0, git 0123456."
    there = here | {"device_name": "NVIDIA H200", "git_sha": "fedcba9876543210"}
    both = only([record(**here, git_dirty=False), record(**there, git_dirty=True, seed=2)])
    assert both.notes[-1] == (
        "Some CPU / NVIDIA H200, 1 thread, torch 2.15.0, git 0123456 / fedcba9 with uncommitted changes."
    )


def test_the_parts_of_the_data_are_noted_where_they_are_known(record: Make) -> None:
    parts = {"examples_train": 800, "examples_val": 200, "examples_test": 1797, "classes": 10}
    (known,) = compare(Runs.of([record(seed=1, **parts), record(seed=2)]))
    assert any("800 / 200 / 1,797 images, 10 classes" in note for note in known.notes)
    (unknown,) = compare(Runs.of([record(seed=1)]))
    assert not any("images" in note for note in unknown.notes)


def test_mixed_versions_are_noted(record: Make) -> None:
    mixed = only([record(seed=1, petlsparse_version="0.1.0"), record(seed=2, petlsparse_version="0.2.0")])
    assert any("petlsparse 0.1.0 and 0.2.0" in note for note in mixed.notes)
    one = only([record(seed=1, petlsparse_version="0.2.0"), record(seed=2, petlsparse_version="0.2.0")])
    assert not any("between which" in note for note in one.notes)


def test_what_a_search_chose_by_is_no_result(record: Make) -> None:
    """Candidate and chosen configuration differ in nothing but their seeds; the first one's luck is not averaged in."""
    tried = [record(99.0, seed=1, role="candidate"), record(70.0, seed=1, role="candidate", optimizer_lr=0.2)]
    chosen = [record(80.0, seed=2, role="final"), record(82.0, seed=3, role="final")]
    other = record(75.0, seed=2, optimizer_lr=0.3)
    candidates, results = compare(Runs.of([*tried, *chosen, other]))
    assert (candidates.title, results.title) == ("dst-sweep, candidates", "dst-sweep")
    assert [row.scores["test_accuracy"].mean for row in results.rows] == [81.0, 75.0]
    columns = {column.header: column.cells for column in text_columns(candidates)}
    assert columns["val. acc. %"] == ("99.00", "70.00")
    assert "test acc. %" not in columns
    assert not any("Test accuracy" in note for note in candidates.notes)
    assert any("chose among candidates" in note for note in results.notes)
    assert [row.get("role") for each in (candidates, results) for row in records_of(each)] == ["candidate"] * 2 + [
        None
    ] * 2


def test_rows_are_compared_by_the_metric_asked_for_and_old_runs_have_none(record: Make) -> None:
    older = record(99.0, seed=1, method_criterion="set")  # from before macro F1 was recorded
    newer = [
        record(90.0, test_macro_f1=70.0, val_macro_f1_best=80.0, seed=1),
        record(91.0, test_macro_f1=72.0, val_macro_f1_best=82.0, seed=2),
    ]
    runs = Runs.of([*newer, older])
    (comparison,) = compare(runs, metric="macro_f1")
    columns = {column.header: column.cells for column in text_columns(comparison)}
    half = 12.706204736 * math.sqrt(2) / math.sqrt(2)
    assert columns["test macro F1 %"] == (f"71.00 ± {half:.2f}", "–")
    assert columns["val. macro F1 %"] == ("81.00", "–")
    assert columns["n"] == ("2", "0")
    assert not any("acc." in header for header in columns)
    assert [row["test_macro_f1_mean"] for row in records_of(comparison)] == [71.0, None]
    assert any("Test macro F1 is read once" in note for note in comparison.notes)
    (as_ever,) = compare(runs)
    assert {"test acc. %", "val. acc. %"} < {column.header for column in text_columns(as_ever)}


def test_a_loss_is_shown_to_four_digits(record: Make) -> None:
    (comparison,) = compare(Runs.of([record(test_loss=0.123456, val_loss_best=1.23456)]), metric="loss")
    columns = {column.header: column.cells for column in text_columns(comparison)}
    assert (columns["test loss nat"], columns["val. loss nat"]) == (("0.1235",), ("1.235",))


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        ((None, "accuracy"), "on validation."),
        (("macro_f1", "macro_f1"), "on validation by macro F1."),
        ((None, "macro_f1"), "on validation by accuracy and macro F1."),
        (("top3", "top3"), "on validation by top3."),
    ],
)
def test_what_selected_the_best_weights_is_named_where_it_is_not_accuracy(
    selected: tuple[str | None, str], told: str, record: Make
) -> None:
    table = only([record(90.0, seed=seed, training_select_by=each) for seed, each in enumerate(selected)])
    assert f"Test accuracy is read once, with the weights that were best {told}" in table.notes
