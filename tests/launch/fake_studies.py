"""Studies without a network: each step is arithmetic, and some know how to die. Workers import this file.

A run's trouble is told by its learning rate, so that it is part of the run's settings.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto
from functools import partial
from pathlib import Path
from typing import Any

from petlsparse.errors import UserError
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import SparseRun
from petlsparse.tracking.atomic import write_json
from petlsparse.tracking.progress import Progress

STEPS = 8


class Trouble(IntEnum):
    NONE = auto()
    DIVERGE = auto()
    RAISE = auto()
    USER_ERROR = auto()
    OUT_OF_MEMORY_ONCE = auto()
    KILLED_ONCE = auto()
    KILLED = auto()
    EXIT = auto()
    EXIT_ZERO_ONCE = auto()
    SLOW = auto()
    PATIENT = auto()
    DEAF = auto()


@dataclass
class Result:
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[tuple[Any, ...]] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    provenance_extra: dict[str, Any] = field(default_factory=dict)


class Walk:
    """A run whose every step depends on the one before; it goes on from its checkpoint as a training does."""

    def __init__(self, run: SparseRun, run_dir: Path) -> None:
        self.run, self.run_dir = run, run_dir
        self.trouble = Trouble(int(run.optimizer.lr))
        self.checkpoint = run_dir / "checkpoint.safetensors"
        self.state = {"step": 0, "value": float(run.seed), "history": [], "rows": []}
        if self.checkpoint.exists():
            self.state = json.loads(self.checkpoint.read_text())

    def take_step(self, progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> None:
        state, run = self.state, self.run
        state["step"] += 1
        state["value"] = (state["value"] * 1.1 + run.optimizer.lr) % 7
        state["history"].append([state["step"], 1, "train", "loss", state["value"]])
        row = {"step": state["step"], "layer": "0.weight", "density": state["value"], "active": run.seed}
        state["rows"].append(row)
        write_json(self.checkpoint, state, durable=False)
        progress(Progress(state["step"], STEPS, 1, {"loss": state["value"]}, evaluated=True))
        if state["step"] >= STEPS // 2:
            run_into(self.trouble, self.run_dir, should_stop)
        if self.trouble is Trouble.SLOW:
            time.sleep(0.1)

    def result(self) -> Result | None:
        """None until there is one; divergence comes half way."""
        step, value = self.state["step"], self.state["value"]
        history, rows = self.state["history"], {"topology": self.state["rows"]}
        if self.trouble is Trouble.DIVERGE and step >= STEPS // 2:
            return Result("diverged", {"steps": step}, [*history, [step, 1, "val", "loss", float("nan")]], rows)
        if step == STEPS:
            return Result(
                "done",
                {"test_accuracy": -value, "val_accuracy_best": value, "steps": step},
                history,
                rows,
                {"total_parameters": 3, "wall_seconds": 1.5},
            )
        return None


class Fake:
    """Stands for a `Study`."""

    def execute(
        self,
        runs: Sequence[SparseRun],
        folders: Sequence[Path],
        *,
        device: str,
        threads: int,
        execution: Execution,
        output: Output,
        on_start: Callable[[Sequence[int]], None],
        progress: Callable[[int, Progress], None],
        done: Callable[[int, Result], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """A step of each run at a time."""
        walks = {index: Walk(run, folders[index]) for index, run in enumerate(runs)}
        steps = {walk.state["step"] for walk in walks.values()}
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        threads = os.environ["OMP_NUM_THREADS"]
        if len(runs) > 1:
            os.write(1, f"{len(runs)} as one on {device}\n".encode())
            assert steps == {0}
        else:
            os.write(1, f"on {device} of GPU {gpu} with {threads} thread from step {walks[0].state['step']}\n".encode())
        while True:
            for index, walk in list(walks.items()):
                if (result := walk.result()) is None:
                    walk.take_step(partial(progress, index), should_stop)
                    result = walk.result()
                if result is not None:
                    done(index, result)
                    del walks[index]
            if not walks:
                return
            if should_stop():
                for index in walks:
                    done(index, Result("interrupted"))
                return


STUDY = Fake()


def run_into(trouble: Trouble, run_dir: Path, should_stop: Callable[[], bool]) -> None:
    mark = run_dir / "been-here"
    first = not mark.exists()
    mark.touch()
    match trouble:
        case Trouble.RAISE:
            raise ZeroDivisionError("on purpose")
        case Trouble.USER_ERROR:
            raise UserError("no such data set")
        case Trouble.OUT_OF_MEMORY_ONCE if first:
            raise MemoryError("too big")
        case Trouble.KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        case Trouble.KILLED_ONCE if first:
            os.kill(os.getpid(), signal.SIGKILL)
        case Trouble.EXIT:
            os._exit(3)
        case Trouble.EXIT_ZERO_ONCE if first:
            os._exit(0)
        case Trouble.PATIENT if first:
            while not should_stop():
                time.sleep(0.01)
        case Trouble.DEAF:
            time.sleep(600)
