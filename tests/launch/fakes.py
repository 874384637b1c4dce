"""Recipes of fake runs, executed here or as a command of their own: `python fakes.py STORE COHORT TROUBLE...`."""

import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from petlsparse.launch.events import CommandSummary, Event
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.loading import Recipe
from petlsparse.recipe.recipe_file import Launch, Output
from petlsparse.recipe.schema import Run, SparseRun
from petlsparse.tracking.store import Store

STUDIES = {"dst-sweep": "fake_studies:STUDY"}
"""Found by workers on sys.path, which they inherit."""


FAKE: dict[str, Any] = {"studies": STUDIES, "device": "cpu", "cohort_key": lambda *_: None}
"""What `execute_plan` is told of fake runs."""


def fake_run(seed: int, trouble: int = 1) -> SparseRun:
    return SparseRun.model_validate(
        {
            "data": {"name": "digits"},
            "network": {"name": "mlp"},
            "method": {"kind": "dense"},
            "optimizer": {"name": "sgd", "lr": trouble},
            "training": {"duration": "1 epoch"},
            "seed": seed,
        }
    )


def fake_runs(troubles: Iterable[int]) -> list[SparseRun]:
    """A run into each trouble, seeds from 1."""
    return [fake_run(seed, trouble) for seed, trouble in enumerate(troubles, 1)]


def fake_recipe(runs: Sequence[SparseRun], **launch: Any) -> Recipe:
    return Recipe("fake", "dst-sweep", "", Path("fake.toml"), "# text", {}, tuple(runs), (), Output(), Launch(**launch))


def flagged(recipe: Recipe, flags: Mapping[str, Any]) -> Recipe:
    """A recipe with flags of the command, others left out."""
    given = {name: value for name, value in flags.items() if name in Launch.model_fields}
    return replace(recipe, launch=recipe.launch.overridden(given))


class Executed:
    """What became of a plan, and everything that was told on the way."""

    def __init__(self, runs: Sequence[SparseRun], store: Path, **options: Any) -> None:
        self.store, self.runs = Store.create(store), list(runs)
        self.events: list[Event] = []
        launch = options.pop("launch", {})
        recipe = flagged(fake_recipe(runs, **launch), {"workers": 2} | options)
        options = {"on_event": self.events.append} | {k: v for k, v in options.items() if k not in Launch.model_fields}
        self.summary: CommandSummary = execute_plan(recipe, self.store, **FAKE | options)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def statuses(self) -> list[str]:
        """In the order of the recipe."""
        return [self.summary.statuses[run.run_id] for run in self.runs]

    def attempts(self) -> list[int]:
        records = {record.run_id: record for record in self.store.records()}
        return [records[run.run_id].attempts for run in self.runs]

    def log(self, run: SparseRun) -> str:
        return (self.store.run_dir(run.run_id) / "log.txt").read_text()


def alike(run: Run, device: str, execution: Execution) -> str:
    """The key of runs that may all be trained as one."""
    return "alike"


def main(store: str, cohort: str, *troubles: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    summary = execute_plan(
        flagged(fake_recipe(fake_runs(map(int, troubles))), {"workers": 2, "cohort": cohort}),
        Store.create(store),
        studies=STUDIES,
        device="cpu",
        cohort_key=alike,
        on_event=lambda event: sys.stdout.write(f"{type(event).__name__}\n") and sys.stdout.flush(),
    )
    sys.stdout.write(f"{'interrupted' if summary.interrupted else 'complete'} {dict(summary.counts)}\n")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if the tests run in a shell's background
    main(*sys.argv[1:])
