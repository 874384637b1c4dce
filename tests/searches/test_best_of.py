"""`best-of`: of each arm the configuration best on validation, trained again with fresh seeds."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import Recipe, Run, load_recipe
from petlsparse.searches.search import Batch, Result, drive, search_of

RECIPE = """
study = "dst-sweep"
seeds = SEEDS
[run]
data = { name = "digits" }
network = { name = "mlp" }
optimizer = { name = "sgd", lr = 0.1 }
training = { duration = "1 epoch" }
[search]
name = "best-of"
repeats = 3
"""
ONE_ARM = """
[grid]
"optimizer.lr" = [0.1, 0.2, 0.3, 0.4]
[run.method]
kind = "dense"
"""
TWO_ARMS = """
[[arms]]
method = { kind = "dense" }
[[arms]]
method = { kind = "static" }
grid = { "method.density" = [0.1, 0.2] }
"""


def loaded(tmp_path: Path, text: str, seeds: str = "1", **changes: str) -> Recipe:
    path = tmp_path / "searched.toml"
    path.write_text(RECIPE.replace("SEEDS", seeds) + text)
    return load_recipe(path, sets=[f"{key.replace('__', '.')}={value}" for key, value in changes.items()])


def searched(recipe: Recipe, accuracy: Mapping[str, float | None]) -> list[Batch]:
    """The batches of a search whose runs have these validation accuracies; None is a run that diverged."""
    batches: list[Batch] = []

    def execute(batch: Batch) -> Mapping[str, Result]:
        batches.append(batch)
        known = {run.run_id: accuracy.get(run.run_id) for run in batch.runs}
        return {
            run_id: Result("diverged", {})
            if value is None
            else Result("done", {"val_accuracy_best": value, "val_macro_f1_best": value})
            for run_id, value in known.items()
        }

    drive(search_of(recipe), execute)
    return batches


def lr(run: Run) -> tuple[float, int]:
    return run.optimizer.lr, run.seed


def by_lr(recipe: Recipe, *values: float | None) -> dict[str, float | None]:
    return dict(zip((run.run_id for run in recipe.runs), values, strict=True))


def test_the_best_on_validation_is_trained_again_with_seeds_that_no_candidate_has(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ONE_ARM, seeds="[2]")
    candidates, final = searched(recipe, by_lr(recipe, 50.0, 60.0, 59.9, 10.0))
    assert (candidates.runs, candidates.role) == (recipe.runs, "candidate")
    assert candidates.then == "the best on validation, with 3 fresh seeds: 3 runs"
    assert [lr(run) for run in final.runs] == [(0.2, 1), (0.2, 3), (0.2, 4)]
    assert (final.role, final.then) == ("final", "")


def test_one_run_with_one_seed_is_told_in_the_singular(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ONE_ARM, search__repeats="1")
    candidates, _ = searched(recipe, by_lr(recipe, 50.0, 60.0, 59.9, 10.0))
    assert candidates.then == "the best on validation, with a fresh seed: 1 run"


def test_what_is_chosen_has_the_highest_mean_over_seeds_and_no_diverged_run(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ONE_ARM, seeds="2")
    # Means 50, 55 and 54; of the last, with the highest accuracy of all, a run diverged.
    accuracy = by_lr(recipe, 50.0, 50.0, 40.0, 70.0, 54.0, 54.0, 99.0, None)
    assert [lr(run) for run in searched(recipe, accuracy)[1].runs] == [(0.2, 3), (0.2, 4), (0.2, 5)]


def test_of_equals_the_first_of_the_recipe_is_chosen(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ONE_ARM)
    assert {lr(run)[0] for run in searched(recipe, by_lr(recipe, 1.0, 7.0, 7.0, 7.0))[1].runs} == {0.2}


def test_each_arm_has_its_best_and_one_without_a_choice_is_no_candidate(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, TWO_ARMS)
    _, sparse, sparser = (run.run_id for run in recipe.runs)
    candidates, final = searched(recipe, {sparse: 1.0, sparser: 2.0})
    assert [run.method.kind for run in candidates.runs] == ["static", "static"]
    assert candidates.then == "the 2 best on validation, with 3 fresh seeds: 6 runs"
    densities = [getattr(run.method, "density", 1.0) for run in final.runs]
    assert densities == [1.0] * 3 + [0.2] * 3
    assert [run.seed for run in final.runs] == [2, 3, 4, 2, 3, 4]


def test_data_sets_are_never_compared_with_each_other(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ONE_ARM.replace("[grid]", '[grid]\n"data.name" = ["digits", "fashion-mnist-10k"]'))
    accuracy = by_lr(recipe, *(9.0, 8.0, 7.0, 6.0), *(1.0, 2.0, 3.0, 4.0))
    final = searched(recipe, accuracy)[1].runs
    assert [(run.data.name, run.optimizer.lr) for run in final[::3]] == [("digits", 0.1), ("fashion-mnist-10k", 0.4)]


def test_drawn_candidates_are_nested_in_order_and_of_a_draw(tmp_path: Path) -> None:
    text = ONE_ARM.replace("[0.1, 0.2, 0.3, 0.4]", str([i / 100 for i in range(1, 41)]))

    def drawn(number: int, seed: int) -> list[float]:
        recipe = loaded(tmp_path, text, search__candidates=str(number), search__seed=str(seed))
        return [run.optimizer.lr for run in searched(recipe, {run.run_id: 1.0 for run in recipe.runs})[0].runs]

    some, more, other = drawn(5, 0), drawn(12, 0), drawn(5, 1)
    assert (len(some), len(more)) == (5, 12)
    assert set(some) < set(more)
    assert some == sorted(some)
    assert set(other) != set(some)
    assert drawn(40, 0) == [i / 100 for i in range(1, 41)]
    with pytest.raises(UserError, match=r"(?s)search.candidates: more than the recipe has: 40 that differ.*value: 41"):
        drawn(41, 0)


def test_an_arm_whose_candidates_all_diverged_has_no_best(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, TWO_ARMS)
    assert {run.method.kind for run in searched(recipe, {})[1].runs} == {"dense"}
    with pytest.raises(UserError, match="nothing to choose"):
        searched(loaded(tmp_path, ONE_ARM), {})


def test_a_candidate_without_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which is trained on here"):
        searched(loaded(tmp_path, ONE_ARM, data__train_on="train+val"), {})


PLACEMENTS = """
study = "adapter-search"
seeds = 2
[run]
data = { name = "digits" }
optimizer = { name = "sgd", lr = 0.1 }
training = { duration = "1 epoch", select_by = "macro_f1" }
[search]
name = "best-of"
repeats = 2
train_on = "train+val"
[[arms]]
method = { kind = "adapters", placement = { name = "random", edge_kind = "parallel" } }
grid = { "method.placement.count" = [12, 11], "method.placement.seed" = [1, 2, 3, 6, 7] }
[[arms]]
method = { kind = "adapters", placement = "all-parallel" }
grid = { "optimizer.lr" = [0.1, 0.2] }
"""
"""vit-micro has 12 parallel edges: all drawings of 12 are one set, and each of 11 lacks one edge."""


def test_placements_of_the_same_edges_are_one_candidate(tmp_path: Path) -> None:
    (tmp_path / "placed.toml").write_text(PLACEMENTS)
    recipe = load_recipe(tmp_path / "placed.toml")
    lacking: dict[tuple[int, int], int] = {}
    for seed in (1, 2, 3, 6, 7):
        digests = {(i, i + 1): sha256(f"13 nodes, draw {seed}, {i}->{i + 1}".encode()).digest() for i in range(12)}
        lacking.setdefault(max(digests, key=digests.__getitem__), seed)
    assert sorted(lacking.values()) == [1, 2, 3]
    candidates, final = searched(recipe, dict.fromkeys((run.run_id for run in recipe.runs), 1.0))
    drawn = [(run.method.placement.count, run.method.placement.seed) for run in candidates.runs[: -2 * 2 : 2]]
    assert drawn == [(12, 1), (11, 1), (11, 2), (11, 3)]
    assert [run.optimizer.lr for run in candidates.runs[-4::2]] == [0.1, 0.2]
    # Nothing is selected on validation any more: that would be refused.
    assert {(run.data.train_on, run.training.select_by) for run in final.runs} == {("train+val", "accuracy")}
    with pytest.raises(UserError) as told:
        searched(load_recipe(tmp_path / "placed.toml", sets=["search.candidates=6"]), {})
    assert [problem.message for problem in told.value.problems] == [
        f"more than arms[{arm}] has: {count} that differ" for arm, count in enumerate((4, 2))
    ]


def test_a_placement_that_is_not_possible_is_told_by_who_knows_the_model(tmp_path: Path) -> None:
    (tmp_path / "placed.toml").write_text(PLACEMENTS.replace("[12, 11]", "[12, 500]"))
    candidates = next(search_of(load_recipe(tmp_path / "placed.toml")))
    assert [run.method.placement.count for run in candidates.runs[:-4:2]] == [12, 500, 500, 500, 500, 500]


def test_what_is_chosen_may_be_trained_on_the_validation_part_too(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ONE_ARM, search__train_on="train+val")
    candidates, final = searched(recipe, by_lr(recipe, 1.0, 2.0, 3.0, 4.0))
    assert {run.data.train_on for run in candidates.runs} == {"train"}
    assert [(run.data.train_on, *lr(run)) for run in final.runs] == [("train+val", 0.4, seed) for seed in (2, 3, 4)]
    assert {run.run_id for run in final.runs}.isdisjoint(
        run.run_id for run in searched(loaded(tmp_path, ONE_ARM), by_lr(recipe, 1.0, 2.0, 3.0, 4.0))[1].runs
    )


def test_settings_of_the_search_are_no_part_of_a_run(tmp_path: Path) -> None:
    plain = loaded(tmp_path, ONE_ARM, search__repeats="1").runs
    assert [run.run_id for run in loaded(tmp_path, ONE_ARM, search__repeats="7", search__seed="3").runs] == [
        run.run_id for run in plain
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [("repeats=0", "greater than or equal to 1"), ("repeat=3", "did you mean repeats"), ("name=beam", "best-of")],
)
def test_a_mistake_in_the_settings_is_told(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        loaded(tmp_path, ONE_ARM, **{f"search__{setting.partition('=')[0]}": setting.partition("=")[2]})
