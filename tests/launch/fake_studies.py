"""Studies without a network: each step is arithmetic, and some know how to die. Workers import this file.

A run's trouble is told by its learning rate, so that it is part of the run's settings.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, auto
from pathlib import Path
from typing import Any

from petlsparse.errors import UserError
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


def execute(
    run: SparseRun,
    *,
    run_dir: Path,
    device: str,
    progress: Callable[[Progress], None],
    checkpoint_every: object,
    keep: str,
    should_stop: Callable[[], bool],
    execution: object,
) -> Result:
    """A walk whose every step depends on the one before; it goes on from its checkpoint as a training does."""
    trouble = Trouble(int(run.optimizer.lr))
    checkpoint = run_dir / "checkpoint.safetensors"
    walk = {"step": 0, "value": float(run.seed), "history": [], "rows": []}
    if checkpoint.exists():
        walk = json.loads(checkpoint.read_text())
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    threads = os.environ["OMP_NUM_THREADS"]
    os.write(1, f"on {device} of GPU {gpu} with {threads} thread from step {walk['step']}\n".encode())
    while walk["step"] < STEPS:
        walk["step"] += 1
        walk["value"] = (walk["value"] * 1.1 + run.optimizer.lr) % 7
        walk["history"].append([walk["step"], 1, "train", "loss", walk["value"]])
        walk["rows"].append({"step": walk["step"], "layer": "0.weight", "density": walk["value"], "active": run.seed})
        write_json(checkpoint, walk, durable=False)
        progress(Progress(walk["step"], STEPS, 1, {"loss": walk["value"]}))
        if walk["step"] >= STEPS // 2:
            run_into(trouble, run_dir, should_stop)
        if trouble is Trouble.SLOW:
            time.sleep(0.1)
        if walk["step"] < STEPS and should_stop():
            return Result("interrupted")
    history, rows = walk["history"], {"topology": walk["rows"]}
    if trouble is Trouble.DIVERGE:
        return Result("diverged", {"steps": STEPS}, [*history, [STEPS, 1, "val", "loss", float("nan")]], rows)
    return Result("done", {"test_accuracy": walk["value"], "steps": STEPS}, history, rows, {"total_parameters": 3})


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
