"""What do commands do with a plan that is finished already, and how does it grow with the number of runs?

A measurement is a process of its own: the command on the smallest store, which loads all libraries, then the command
in question. The time is of the second, and of the process in which it looks at data and models, as far as that takes
longer than the first one's; the peak memory is that of the command's own process.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command import answered, in_fresh_process
from benchmarks.harness import Comparison, Effort, Quantity
from petlsparse.recipe import load_recipe
from petlsparse.tracking.compaction import compact
from petlsparse.tracking.store import Store

RECIPE = """
study = "dst-sweep"
seeds = 20
[run]
data = {{ name = "digits" }}
network = {{ name = "mlp", widths = [20, 10] }}
training = {{ duration = "20 epochs" }}
optimizer = {{ name = "sgd" }}
[grid]
"optimizer.lr" = {rates}
"method.density" = [0.05, 0.1, 0.15, 0.2, 0.25]
[[arms]]
method = {{ kind = "static" }}
"""
RUNS_OF_A_RATE = 20 * 5
COMMANDS = ("dst-sweep", "plan", "compare", "status")


def run(effort: Effort) -> Iterator[Comparison]:
    """Of 1,000 and 10,000 runs."""
    yield from on_stores(effort, (200,) if effort.quick else (1_000, 10_000))


def run_100k(effort: Effort) -> Iterator[Comparison]:
    """Of 100,000 runs, in 400,000 files."""
    yield from on_stores(effort, (300,) if effort.quick else (100_000,))


def on_stores(effort: Effort, sizes: Sequence[int]) -> Iterator[Comparison]:
    """Every command on stores of so many finished runs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        finished(folder, RUNS_OF_A_RATE)
        for runs in sizes:
            finished(folder, runs)
            rounds = [
                [
                    in_fresh_process([line(folder, command, size) for size in (RUNS_OF_A_RATE, runs)])
                    for command in COMMANDS
                ]
                for _ in range(1 if effort.quick else effort.at_most(3))
            ]
            yield from comparisons(runs, rounds)


def comparisons(runs: int, rounds: Sequence[Sequence[dict[str, float]]]) -> Iterator[Comparison]:
    """Time and memory of the commands, measured in `rounds`."""

    def samples(*quantities: Quantity) -> dict[str, dict[Quantity, list[float]]]:
        return {
            command: {quantity: [one[at][quantity] for one in rounds] for quantity in quantities}
            for at, command in enumerate(COMMANDS)
        }

    about = f"{runs:,} finished runs in {runs // 20:,} configurations"
    yield Comparison(f"{about}: a whole command, without loading libraries", samples("cpu", "wall"))
    yield Comparison(f"{about}: peak resident memory, libraries included", samples("bytes"), by="bytes")


def line(folder: Path, command: str, runs: int) -> list[str]:
    """A command line about the store of so many runs."""
    recipe, store = f"{folder}/{runs}.toml", f"{folder}/{runs}"
    return [command, *([recipe, "--out", store, "--device", "cpu"] if command in ("dst-sweep", "plan") else [store])]


def finished(folder: Path, runs: int) -> None:
    """A recipe of so many runs, and a store in which all of them are done: one really, the others after its model."""
    path, store = folder / f"{runs}.toml", Store.create(folder / str(runs))
    path.write_text(RECIPE.format(rates=[0.001 * (1 + at) for at in range(runs // RUNS_OF_A_RATE)]))
    answered([*line(folder, "dst-sweep", runs), "--limit", "1", "--workers", "1"])
    first, *others = load_recipe(path).runs
    record = store.run_dir(first.run_id) / "record.json"
    trained = json.loads(record.read_text())
    files = [file for file in record.parent.iterdir() if file != record]
    for one in others:
        store.run_dir(one.run_id).mkdir()
        for file in files:
            shutil.copyfile(file, store.run_dir(one.run_id) / file.name)
        metrics = trained["metrics"] | {"test_accuracy": 90.0 + one.seed / 10}
        changed = {"run_id": one.run_id, "settings": one.settings(), "metrics": metrics, "rows": {}}
        (store.run_dir(one.run_id) / record.name).write_text(json.dumps(trained | changed, separators=(",", ":")))
    compact(store)
