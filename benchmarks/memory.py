"""How much memory does a sparse training take, by density and backend? Every measurement in a fresh process."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from benchmarks.harness import Comparison, Effort, Quantity
from benchmarks.mlp import BACKENDS, BATCH, FULL, TINY, Variant, split, training
from benchmarks.trainings import steps_of
from petlsparse.training.memory import peak_memory_bytes, reset_peak_memory

DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
STEPS, UPDATE_PERIOD = 6, 4
ROOT = Path(__file__).parents[1]


def run(effort: Effort) -> Iterator[Comparison]:
    """What is held between steps, and the peak of the process."""
    widths = TINY if effort.quick else FULL
    densities = DENSITIES[-1:] if effort.quick else DENSITIES
    variants = [
        Variant(),
        *(Variant(d, backend, update_period=UPDATE_PERIOD) for backend in BACKENDS for d in densities),
    ]
    rounds = [
        [in_fresh_process(variant, widths) for variant in variants]
        for _ in range(1 if effort.quick else effort.at_most(3))
    ]

    def samples(quantity: str) -> dict[str, dict[Quantity, list[float]]]:
        return {str(variant): {"bytes": [one[i][quantity] for one in rounds]} for i, variant in enumerate(variants)}

    network = f"the MLP {'-'.join(map(str, (3072, *widths, 10)))}, momentum SGD, batch {BATCH}"
    yield Comparison(
        f"tensors alive between two steps of {network}",
        samples("alive"),
        by="bytes",
        notes=["weights, gradients, optimizer state, masks and indices; without the data set"],
    )
    yield Comparison(
        f"peak resident memory of {STEPS} steps of {network}, beyond what data and libraries hold",
        samples("peak"),
        by="bytes",
        notes=["one topology update with dense gradients included"],
    )


def in_fresh_process(variant: Variant, widths: tuple[int, ...]) -> dict[str, float]:
    """`measure`, elsewhere."""
    settings = json.dumps(
        {"density": variant.density, "backend": variant.backend, "period": variant.update_period, "widths": widths}
    )
    command = [sys.executable, "-m", "benchmarks.memory", settings]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    measured: dict[str, float] = json.loads(answer.splitlines()[-1])
    return measured


def measure(density: float | None, backend: str, period: int | None, widths: list[int]) -> dict[str, float]:
    """Bytes of a few training steps in this process."""
    torch.set_num_threads(1)
    data, variant = split(STEPS * BATCH), Variant(density, backend, update_period=period)
    steps_of(training(variant, TINY, train=data, val=split(0)))(STEPS)  # libraries load what they need
    gc.collect()
    known, device = storages(tensors_alive()), torch.device("cpu")
    before = psutil.Process().memory_info().rss
    reset_peak_memory(device)
    trained = training(variant, tuple(widths), train=data, val=split(0))
    steps_of(trained)(STEPS)
    gradients = [parameter.grad for parameter in trained.method.parameters() if parameter.grad is not None]
    held = storages([*tensors_alive(), *gradients])
    return {
        "alive": sum(size for pointer, size in held.items() if pointer not in known),
        "peak": max(peak_memory_bytes(device) - before, 0),
    }


def tensors_alive() -> list[Tensor]:
    """All that Python knows of."""
    return [thing for thing in gc.get_objects() if isinstance(thing, Tensor)]


def storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Address -> bytes of everything the tensors rest on, the parts of sparse ones included."""
    found: dict[int, int] = {}
    for tensor in tensors:
        parts: Any = [tensor]
        if tensor.layout == torch.sparse_csr:
            parts = [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
        for part in parts:
            storage = part.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return found


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
