"""A search asks for runs batch after batch; stopped anywhere and started again it arrives at the same choice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from petlsparse.launch.events import CommandSummary, Event, Failed, Finished, Planned, Started
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe.fields import OneOf
from petlsparse.recipe.loading import Recipe
from petlsparse.recipe.recipe_file import Launch
from petlsparse.recipe.schema import SparseRun
from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.equality import differences
from petlsparse.tracking.plan import Plan
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import STEPS, Trouble
from tests.launch.fakes import FAKE, fake_recipe, fake_run, flagged

REPEATS = 2
CANDIDATES = [1.5, 1.25, 1.75]


def validated(lr: float, seed: int = 1) -> float:
    """What the fake study comes to on validation."""
    value = float(seed)
    for _ in range(STEPS):
        value = (value * 1.1 + lr) % 7
    return value


BEST = max(CANDIDATES, key=validated)


def searched(lrs: list[float]) -> Recipe:
    search = OneOf("search")({"name": "best-of", "repeats": REPEATS})
    return replace(fake_recipe([fake_run(1, lr) for lr in lrs]), search=search)


def execute(
    recipe: Recipe, store: Path, on_event: Callable[[Event], None] = lambda _: None, **options: object
) -> CommandSummary:
    recipe = flagged(recipe, {"workers": 0} | options)
    options = {name: value for name, value in options.items() if name not in Launch.model_fields}
    return execute_plan(recipe, Store.create(store), on_event=on_event, **FAKE | options)


def final(lr: float) -> list[SparseRun]:
    return [fake_run(seed, lr) for seed in range(2, 2 + REPEATS)]


def test_the_fake_candidates_differ_and_the_best_is_neither_first_nor_last() -> None:
    assert len({validated(lr) for lr in CANDIDATES}) == len(CANDIDATES)
    assert CANDIDATES[1] == BEST


def test_the_plan_grows_with_what_the_search_asks_for(tmp_path: Path) -> None:
    events: list[Event] = []
    recipe = searched(CANDIDATES)
    summary = execute(recipe, tmp_path, events.append)
    tried, chosen = ([run.run_id for run in runs] for runs in (recipe.runs, final(BEST)))
    assert dict(summary.statuses) == dict.fromkeys([*tried, *chosen], "done")
    assert summary.then == ""
    then = "the best on validation, with 2 fresh seeds: 2 runs"
    assert [event for event in events if isinstance(event, Planned)] == [
        Planned(tuple(tried), 0, "candidate", then),
        Planned(tuple(chosen), 0, "final"),
    ]
    roles = dict.fromkeys(tried, "candidate") | dict.fromkeys(chosen, "final")
    plan = Plan("fake", (*tried, *chosen), recipe.text, recipe.resolved, roles, "")
    plans = Store(tmp_path).read_plans()
    assert plans.commands == (plan,)
    assert plans.proposed(tried[1]) == "a search, candidate 2 of 3"  # the fake recipe has no table
    runs = read_table(tmp_path, "runs")
    assert dict(zip(runs["run_id"], runs["role"], strict=True)) == roles


class Killed(BaseException):
    """Ends a command wherever it is."""


def killed_at(event: int, recipe: Recipe, store: Path) -> bool:
    """Kill the command at its event of this number; False if it ended before."""
    told: list[Event] = []

    def kill(each: Event) -> None:
        told.append(each)
        if len(told) > event:
            raise Killed

    try:
        execute(recipe, store, kill)
    except Killed:
        return True
    return False


def test_killed_at_any_moment_and_resumed_it_arrives_at_the_same_choice(tmp_path: Path) -> None:
    recipe = searched(CANDIDATES)
    calm = execute(recipe, tmp_path / "calm")
    event = 0
    while killed_at(event, recipe, store := tmp_path / str(event)):
        assert execute(recipe, store).statuses == calm.statuses
        assert differences(tmp_path / "calm", store) == []
        event += 3
    # Planned twice, and of each run its start, its end and some of its progress.
    assert event > 2 + 3 * len(calm.statuses)


def test_killed_again_and_again_it_arrives_at_the_same_choice(tmp_path: Path) -> None:
    recipe = searched(CANDIDATES)
    execute(recipe, tmp_path / "calm")
    kills = 0
    while killed_at(4, recipe, tmp_path / "killed"):  # within the first run that is left, after some of its steps
        kills += 1
    assert kills > len(recipe.runs)
    assert differences(tmp_path / "calm", tmp_path / "killed") == []


@pytest.mark.parametrize("limit", range(len(CANDIDATES) + REPEATS + 1))
def test_a_limit_is_one_of_the_command_and_nothing_is_chosen_before_all_candidates_have_a_result(
    tmp_path: Path, limit: int
) -> None:
    recipe = searched(CANDIDATES)
    started: list[Event] = []
    first = execute(recipe, tmp_path / "limited", lambda e: isinstance(e, Started) and started.append(e), limit=limit)
    assert len(started) == limit
    complete = limit >= len(CANDIDATES)
    assert bool(first.then) is not complete
    assert len(first.statuses) == len(CANDIDATES) + REPEATS * complete
    execute(recipe, tmp_path / "limited")
    execute(recipe, tmp_path / "calm")
    assert differences(tmp_path / "calm", tmp_path / "limited") == []


def test_a_failed_candidate_has_no_result_so_that_the_choice_waits_for_it(tmp_path: Path) -> None:
    once = float(Trouble.OUT_OF_MEMORY_ONCE)
    recipe = searched([*CANDIDATES, once])
    events: list[Event] = []
    first = execute(recipe, tmp_path, events.append, retry=0)
    assert [type(event) for event in events if isinstance(event, Failed)] == [Failed]
    assert (first.counts["failed"], len(first.statuses), bool(first.then)) == (1, 4, True)
    best = max([*CANDIDATES, once], key=validated)
    second = execute(recipe, tmp_path)
    assert set(second.statuses) == {run.run_id for run in (*recipe.runs, *final(best))}
    assert set(second.statuses.values()) == {"done"}


def test_a_diverged_candidate_is_not_chosen(tmp_path: Path) -> None:
    recipe = searched([float(Trouble.DIVERGE), *CANDIDATES])
    summary = execute(recipe, tmp_path)
    assert list(summary.statuses.values()) == ["diverged", *["done"] * (len(CANDIDATES) + REPEATS)]
    assert set(summary.statuses) == {run.run_id for run in (*recipe.runs, *final(BEST))}


def test_a_role_is_what_the_latest_command_says_and_costs_no_run_again(tmp_path: Path) -> None:
    recipe = searched(CANDIDATES)
    plain = replace(recipe, search=OneOf("search")("grid"), text="# plain")
    finished: list[Event] = []

    def roles() -> list[str]:
        return list(read_table(tmp_path, "runs")["role"].fillna("none"))

    execute(plain, tmp_path)
    assert roles() == ["none"] * 3
    execute(recipe, tmp_path, lambda event: isinstance(event, Finished) and finished.append(event))
    assert roles() == ["candidate"] * 3 + ["final"] * 2
    assert len(finished) == REPEATS
    execute(plain, tmp_path)
    assert roles() == ["none"] * 3 + ["final"] * 2
