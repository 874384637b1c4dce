"""What a search is told: nothing of the test part, and nothing before all that it asked for has a result."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import Run, load_recipe
from petlsparse.searches.search import Batch, Result, Search, drive, results_of, search_of
from petlsparse.settings import Choice
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store


def write(store: Store, run: Run, status: str, **metrics: float) -> None:
    store.write_record(Record(run.run_id, run.study, "", status, run.settings(), metrics=dict(metrics)))


def test_results_are_told_without_the_test_part_once_all_runs_have_one(tmp_path: Path) -> None:
    store, (one, other) = Store.create(tmp_path), load_recipe("dst-smoke").runs[:2]
    batch = Batch((one, other), then="more")
    write(store, one, "done", val_accuracy_best=70.0, test_accuracy=60.0, test_accuracy_last=59.0, steps=9)
    assert results_of(batch, store) is None
    for status in ("failed", "interrupted"):
        write(store, other, status)
        assert results_of(batch, store) is None
    write(store, other, "diverged", steps=3)
    assert results_of(batch, store) == {
        one.run_id: Result("done", {"val_accuracy_best": 70.0, "steps": 9}),
        other.run_id: Result("diverged", {"steps": 3}),
    }
    assert results_of(Batch((one, other)), store) is None  # nothing follows


def test_a_search_ends_where_results_do(tmp_path: Path) -> None:
    told: list[object] = []
    ended: list[bool] = []

    def search() -> Search:
        try:
            for number in range(3):
                results = yield Batch((), then=str(number))
                told.append(results)
        finally:
            ended.append(True)

    def execute(batch: Batch) -> Mapping[str, Result] | None:
        return {batch.then: Result("done", {})} if batch.then != "1" else None

    drive(search(), execute)
    assert told == [{"0": Result("done", {})}]
    assert ended == [True]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return []", "is no generator function: a search yields its batches"),
        ("yield recipe.nothing", "fails in line 2: AttributeError"),
    ],
)
def test_what_is_wrong_with_a_search_of_ones_own_is_told(tmp_path: Path, body: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(f"def search(recipe):\n    {body}\n")
    recipe = replace(load_recipe("best-of-smoke"), search=Choice(name=f"{tmp_path}/mine.py:search"))
    with pytest.raises(UserError) as caught:
        drive(search_of(recipe), lambda _: None)
    assert says in str(caught.value)
    assert caught.value.problems[0].where == "search.name"
