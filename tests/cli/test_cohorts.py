"""Runs trained as one, as a user asks for them and sees them."""

from pathlib import Path
from typing import Any

import pytest

from petlsparse._cli._options import ProgressStyle
from petlsparse._cli._progress import Live, shown
from petlsparse.launch import events
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import Recipe
from petlsparse.tracking.progress import Progress

from .conftest import Cli


@pytest.mark.parametrize(("flags", "cohort"), [((), None), (("--cohort", "off"), "off"), (("--cohort", "8"), 8)])
def test_the_flag_reaches_the_launcher(
    recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], cohort: object
) -> None:
    told: list[Recipe] = []

    def execute(recipe: Recipe, *arguments: Any, **options: Any) -> events.CommandSummary:
        told.append(recipe)
        return execute_plan(recipe, *arguments, **options | {"limit": 0})

    monkeypatch.setattr("petlsparse.launch.plan.execute_plan", execute)
    assert cli("dst-sweep", recipe, "--device", "cpu", *flags).code == 0
    assert [recipe.launch.cohort for recipe in told] == [cohort]


@pytest.mark.parametrize("size", ["0", "-1", "many", "1.5", ""])
def test_a_size_that_is_none_is_told(recipe: Path, cli: Cli, size: str) -> None:
    answer = cli("dst-sweep", recipe, "--cohort", size)
    assert answer.code == 2
    assert "--cohort" in answer.err
    assert "at least 1" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("size", ["0", '"many"', "true", "[2]"])
def test_a_size_that_is_none_is_told_in_a_recipe_too(recipe: Path, cli: Cli, size: str) -> None:
    recipe.write_text(recipe.read_text() + f"\n[launch]\ncohort = {size}\n")
    answer = cli("dst-sweep", recipe)
    assert answer.code == 2
    assert 'launch.cohort: should be "auto", "off" or a number of runs, at least 1' in answer.err


MANY = [f"{i:012}" for i in range(50)]
LABELS = {run_id: f"dense seed {int(run_id)}" for run_id in MANY}
BEGUN = [
    events.Planned((*MANY, "b" * 12), 0),
    *(events.Started(run_id, 1, 0) for run_id in MANY),
    events.Started("b" * 12, 1, 1),
    events.Progressed(tuple(MANY), Progress(5, 10, 1, {"train_loss": 0.5})),
]


def test_fifty_runs_as_one_are_one_bar() -> None:
    with Live(LABELS) as live:
        for event in BEGUN:
            live(event)
        texts = [task.description for task in live.bars.tasks]
        assert texts == ["all runs", "50 runs as one: dense seed 0, ...", "b" * 12]
        assert live.share() == 25
        live(events.Finished(MANY[0], "done", {}, 1.0))
        assert live.share() == 1 + 24.5
        for run_id in MANY[1:]:
            live(events.Finished(run_id, "done", {}, 1.0))
        assert [task.description for task in live.bars.tasks] == ["all runs", "b" * 12]
        assert live.share() == 50


def test_runs_trained_in_parts_count_by_the_part_that_is_in_training() -> None:
    with Live(LABELS) as live:
        for event in BEGUN[:-1]:
            live(event)
        live(events.Progressed(tuple(MANY[:20]), Progress(5, 10, 1)))
        assert live.share() == 10
        assert live.bars.tasks[1].description == "20 runs as one: dense seed 0, ..."
        live(events.Progressed(tuple(MANY[20:]), Progress(5, 10, 1)))
        assert live.share() == 20 + 15
        assert live.bars.tasks[1].description == "30 runs as one: dense seed 20, ..."
        for run_id in MANY[:20]:
            live(events.Finished(run_id, "done", {}, 1.0))
            assert live.share() == 35
        for run_id in MANY[20:]:
            live(events.Finished(run_id, "done", {}, 1.0))
        assert live.share() == 50


@pytest.mark.parametrize("style", [ProgressStyle.plain, ProgressStyle.rich])
def test_what_was_one_and_goes_on_alone_is_one_line(style: ProgressStyle, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(style, LABELS) as listener:
        for event in [*BEGUN, events.Separated(tuple(MANY), "Traceback\nMemoryError: too big")]:
            listener(event)
        if isinstance(listener, Live):
            assert len(listener.bars.tasks) == 2
        listener(events.Started(MANY[0], 1, 0))
        listener(events.Finished(MANY[0], "done", {"test_accuracy": 93.125}, 12.0))
    text = capsys.readouterr().err
    assert text.count("MemoryError: too big") == 1
    assert "one by one: 50 runs that trained as one: MemoryError: too big" in text
    assert "1/51 000000000000 dense seed 0: test 93.12 %, 12 s" in text
