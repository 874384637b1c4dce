"""Searches over edges and over lengths of training: the whole map, forward selection, successive halving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from petlsparse.adapters.edges import Edge, edge_space
from petlsparse.errors import UserError
from petlsparse.recipe import Recipe, Run, load_recipe
from petlsparse.searches.search import Batch, Result, drive, search_of

RECIPE = """
study = "adapter-search"
seeds = [7, 8]
[run]
data = { name = "digits" }
optimizer = { name = "adamw", lr = 1e-3 }
training = { duration = "8 epochs" }
[[arms]]
method = { kind = "linear-probe" }
[[arms]]
method = { kind = "adapters", placement = "all-parallel", rank = 4 }
"""


def loaded(tmp_path: Path, search: str, recipe: str = RECIPE) -> Recipe:
    path = tmp_path / "searched.toml"
    path.write_text(f"{recipe}\n[search]\n{search}\n")
    return load_recipe(path)


def searched(recipe: Recipe, accuracy: Callable[[Run], float | None]) -> list[Batch]:
    """The batches of a search whose runs have these validation accuracies; None is a run that diverged."""
    batches: list[Batch] = []

    def execute(batch: Batch) -> Mapping[str, Result]:
        batches.append(batch)
        if not batch.then:
            return {}
        values = {run.run_id: accuracy(run) for run in batch.runs}
        return {
            name: Result("diverged", {}) if value is None else Result("done", {"val_accuracy_best": value})
            for name, value in values.items()
        }

    drive(search_of(recipe), execute)
    return batches


def edges(run: Run) -> tuple[Edge, ...]:
    return tuple(Edge(*edge) for edge in run.method.placement.arguments()["edges"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", edge_space(13)),
        ('edge_kind = "recurrent"', edge_space(13, "recurrent")),
        ("stride = 6", [Edge(i, j) for i in (0, 6, 12) for j in (0, 6, 12)]),
    ],
)
def test_each_edge_is_tried_alone_beside_the_other_methods(tmp_path: Path, settings: str, expected: list[Edge]) -> None:
    (batch,) = searched(loaded(tmp_path, f'name = "each-edge"\n{settings}'), lambda _: 1.0)
    probes = [run for run in batch.runs if run.method.kind == "linear-probe"]
    placed = [run for run in batch.runs if run.method.kind == "adapters"]
    assert [run.seed for run in probes] == [7, 8]
    assert sorted(edges(run) for run in placed if run.seed == 7) == [(edge,) for edge in expected]
    assert {run.method.rank for run in placed} == {4}
    assert Counter(run.seed for run in placed) == {7: len(expected), 8: len(expected)}
    assert batch.role is None


def test_the_stride_of_the_paper_leaves_its_81_edges() -> None:
    kept = [edge for edge in edge_space(25) if edge.source % 3 == edge.target % 3 == 0]
    assert Counter(edge.kind for edge in kept) == {"sequential": 9, "long-range": 36, "recurrent": 36}


def test_placements_that_differ_in_their_edges_alone_are_one_map(tmp_path: Path) -> None:
    recipe = RECIPE + '[[arms]]\nmethod = { kind = "adapters", placement = "all-sequential", rank = 4 }\n'
    recipe += (
        '[[arms]]\nmethod = { kind = "adapters", placement = { name = "top-k", count = 2 }, score = "page", rank = 4 }'
    )
    (batch,) = searched(loaded(tmp_path, 'name = "each-edge"', recipe), lambda _: 1.0)
    assert len(batch.runs) == 2 + 2 * 169


VALUES = {Edge(3, 4): 5.0, Edge(9, 2): 4.0, Edge(1, 1): 3.0}


def modular(run: Run) -> float:
    """Edges add up; (9, 2) is worth less beside (3, 4)."""
    chosen = edges(run)
    value = sum(VALUES.get(edge, 0.001 * edge.target) for edge in chosen)
    return value - (3.5 if {Edge(3, 4), Edge(9, 2)} <= set(chosen) else 0.0) + 0.1 * (run.seed == 8)


def test_forward_selection_takes_what_is_best_beside_what_it_has(tmp_path: Path) -> None:
    *steps, final = searched(loaded(tmp_path, 'name = "greedy"\ncount = 3\nrepeats = 2'), modular)
    assert [len(step.runs) for step in steps] == [2 * 169, 2 * 168, 2 * 167]
    assert [step.then for step in steps[:2]] == ["edge 2 of 3", "edge 3 of 3"]
    assert all(step.role == "candidate" for step in steps)
    assert {edges(run)[:1] for run in steps[0].runs} == {(edge,) for edge in edge_space(13)}
    assert all(Edge(3, 4) in edges(run) for run in steps[1].runs)
    probe, placed = final.runs[:2], final.runs[2:]
    assert [(run.method.kind, run.seed) for run in probe] == [("linear-probe", 1), ("linear-probe", 2)]
    assert {edges(run) for run in placed} == {(Edge(1, 1), Edge(3, 4), Edge(9, 2))}
    assert [run.seed for run in placed] == [1, 2]
    assert final.role == "final"


def test_forward_selection_may_go_on_with_the_best_edges_of_the_step_before(tmp_path: Path) -> None:
    *steps, final = searched(loaded(tmp_path, 'name = "greedy"\ncount = 2\nkeep = 3\nrepeats = 1'), modular)
    assert [len(step.runs) for step in steps] == [2 * 169, 2 * 2]
    assert {edges(run) for run in steps[1].runs} == {(Edge(3, 4), Edge(9, 2)), (Edge(1, 1), Edge(3, 4))}
    assert edges(final.runs[-1]) == (Edge(1, 1), Edge(3, 4))


def test_an_edge_of_which_a_run_diverged_is_not_taken(tmp_path: Path) -> None:
    def value(run: Run) -> float | None:
        return None if Edge(3, 4) in edges(run) and run.seed == 8 else modular(run)

    final = searched(loaded(tmp_path, 'name = "greedy"\ncount = 1'), value)[-1]
    assert {edges(run) for run in final.runs[5:]} == {(Edge(9, 2),)}
    with pytest.raises(UserError, match="of every candidate a run diverged"):
        searched(loaded(tmp_path, 'name = "greedy"\ncount = 1'), lambda _: None)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ('name = "greedy"\ncount = 14\nedge_kind = "sequential"', "more than the 13 edges"),
        ('name = "greedy"\ncount = 5\nkeep = 4', "fewer than are to be taken"),
        ('name = "halving"\nrounds = 5', "cannot be divided by 2 for each of 4 earlier rounds"),
        ('name = "halving"\nfactor = 3\nrounds = 2', "cannot be divided by 3"),
    ],
)
def test_a_search_that_makes_no_sense_is_told_before_training(tmp_path: Path, search: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        searched(loaded(tmp_path, search, HALVED), lambda _: 1.0)


@pytest.mark.parametrize("name", ["each-edge", 'greedy"\ncount = "2'])
def test_without_a_placement_there_is_nothing_to_search(tmp_path: Path, name: str) -> None:
    only_a_probe = RECIPE.partition('[[arms]]\nmethod = { kind = "adapters"')[0]
    search = f'name = "{name}"'.replace('"2"', "2")
    with pytest.raises(UserError, match=r"method\.kind"):
        searched(loaded(tmp_path, search, only_a_probe), lambda _: 1.0)


HALVED = RECIPE.replace('placement = "all-parallel", rank = 4 }', 'placement = { name = "random", count = 3 } }') + (
    'grid = { "method.placement.seed" = [0, 1, 2, 3, 4] }\n'
)


def draw(run: Run) -> int:
    return run.method.placement.arguments()["seed"]


def test_fewer_and_fewer_are_trained_for_longer_and_longer(tmp_path: Path) -> None:
    def value(run: Run) -> float:  # the draw 4 is best at first, 2 in the end
        return draw(run) + (10.0 if draw(run) == 2 and run.training.duration.count > 2 else 0.0)

    *turns, final = searched(loaded(tmp_path, 'name = "halving"\nrepeats = 2', HALVED), value)
    found = [({draw(run) for run in turn.runs}, {str(run.training.duration) for run in turn.runs}) for turn in turns]
    assert found == [
        ({0, 1, 2, 3, 4}, {"2 epochs"}),
        ({2, 3, 4}, {"4 epochs"}),
        ({2, 4}, {"8 epochs"}),
    ]
    assert all(Counter(run.seed for run in turn.runs)[7] * 2 == len(turn.runs) for turn in turns)
    assert [turn.then for turn in turns[:2]] == ["the best 3 for longer", "the best 2 for longer"]
    kinds = [(run.method.kind, run.seed, str(run.training.duration)) for run in final.runs]
    assert kinds == [
        ("linear-probe", 1, "8 epochs"),
        ("linear-probe", 2, "8 epochs"),
        ("adapters", 1, "8 epochs"),
        ("adapters", 2, "8 epochs"),
    ]
    assert draw(final.runs[-1]) == 2


def test_of_halved_candidates_that_diverge_none_goes_on(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, 'name = "halving"', HALVED)
    *turns, final = searched(recipe, lambda run: None if draw(run) == 4 else float(draw(run)))
    assert {draw(run) for run in turns[1].runs} == {1, 2, 3}
    assert draw(final.runs[-1]) == 3
    *_, final = searched(recipe, lambda _: None)  # the other arm has nothing to choose, and is trained
    assert {run.method.kind for run in final.runs} == {"linear-probe"}
    alone = loaded(tmp_path, 'name = "halving"', HALVED.replace('[[arms]]\nmethod = { kind = "linear-probe" }\n', ""))
    with pytest.raises(UserError, match="of every candidate a run diverged"):
        searched(alone, lambda _: None)


@pytest.mark.parametrize("search", ['name = "greedy"\ncount = 3', 'name = "halving"'])
@pytest.mark.parametrize("batches_before", [1, 2])
def test_stopped_after_a_batch_and_started_again_it_asks_for_the_same(
    tmp_path: Path, search: str, batches_before: int
) -> None:
    def value(run: Run) -> float:
        return float(int(run.run_id, 16) % 1000)

    recipe = loaded(tmp_path, search, HALVED)
    whole = searched(recipe, value)
    asked: list[Batch] = []

    def execute(batch: Batch) -> Mapping[str, Result] | None:
        asked.append(batch)
        if len(asked) > batches_before:
            return None
        return {run.run_id: Result("done", {"val_accuracy_best": value(run)}) for run in batch.runs}

    drive(search_of(recipe), execute)
    assert asked == whole[: batches_before + 1]
    assert searched(recipe, value) == whole
