"""From which density down a linear layer is faster as csr than masked, on this machine: measured once, remembered.

A masked step takes the same time at every density, a csr step grows linearly with it, so that two densities are enough
to tell where they meet.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn import functional

from petlsparse.sparsity.csr import Csr
from petlsparse.sparsity.csr_linear import CsrLinear
from petlsparse.sparsity.layer import SparseLayer
from petlsparse.sparsity.masked import Masked
from petlsparse.sparsity.positions import positions

PROBES = 0.02, 0.1
"""Densities at which a csr layer is timed."""
ROUNDS = 5
SAMPLE_SECONDS = 0.002
"""Steps shorter than this are repeated within a sample."""


def crossover(out_features: int, in_features: int, batch_size: int) -> float:
    """The density below which csr is faster; 0 where it never is. Measured unless this machine has it in its cache.

    Processes that ask at the same time wait for the one that measures, and so agree. Without a folder to write to,
    or with a damaged file in it, everything works as if nothing had been measured before.
    """
    file = cache_folder() / "crossover.json"
    key = " | ".join(
        [
            _cpu(),
            f"torch {torch.__version__}",
            f"{torch.get_num_threads()} threads",
            f"{out_features} x {in_features}",
            f"batch {batch_size}",
        ]
    )
    return remembered(file, key, lambda: measured_crossover(out_features, in_features, batch_size))


def cache_folder() -> Path:
    """`PETLSPARSE_CACHE`, or the user's folder for such things."""
    if chosen := os.environ.get("PETLSPARSE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "petlsparse"


def remembered(file: Path, key: str, measure: Callable[[], float]) -> float:
    """The number under `key` in a JSON file; measured and added if it is not there."""
    lock = FileLock(f"{file}.lock")
    with suppress(OSError, NotImplementedError):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        known = _read(file)
        if key not in known:
            known[key] = measure()
            with suppress(OSError):
                _write(file, known)
        return known[key]
    finally:
        lock.release()


def measured_crossover(
    out_features: int, in_features: int, batch_size: int, clock: Callable[[], float] | None = None
) -> float:
    """Time a layer's whole step (forward, backward, momentum SGD, mask) masked and csr, in turns."""
    # The clock of a thread does not count what others do meanwhile, but neither what the other threads of torch do.
    clock = clock or (time.thread_time if torch.get_num_threads() == 1 else time.perf_counter)
    shape = (out_features, in_features, batch_size)
    steps = [_step(*shape, density=None), *(_step(*shape, density=density) for density in PROBES)]
    repeats = []
    for step in steps:
        step()  # pays for allocations
        begin = clock()
        step()
        repeats.append(1 + int(SAMPLE_SECONDS / max(clock() - begin, 1e-6)))
    samples: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS):
        for step, repeat, sample in zip(steps, repeats, samples, strict=True):
            begin = clock()
            for _ in range(repeat):
                step()
            sample.append((clock() - begin) / repeat)
    masked, *sparse = map(min, samples)  # others can make a step slower, nothing makes it faster
    return meeting_point(masked, *sparse)


def meeting_point(masked: float, at_low: float, at_high: float) -> float:
    """Where a straight line through the two csr times (at `PROBES`) rises to the masked time, within [0, 1].

    0 if csr is not the faster one at the lower density already: what little it gains further down is not worth it.
    """
    low, high = PROBES
    if at_low >= masked:
        return 0.0
    slope = (at_high - at_low) / (high - low)
    return min(1.0, low + (masked - at_low) / slope) if slope > 0 else 1.0


def _step(out_features: int, in_features: int, batch_size: int, density: float | None) -> Callable[[], None]:
    """A training step of a layer alone: csr at a density, masked without one; input as it is inside such a network."""
    # Nothing draws from torch's global generator: a run's random numbers must not depend on what was measured.
    mask = torch.rand(out_features, in_features, generator=torch.Generator().manual_seed(0)) < (density or 0.5)
    weight, bias = (nn.Parameter(torch.full(shape, 0.01)) for shape in (mask.shape, mask.shape[:1]))
    layer: SparseLayer
    forward: Callable[[Tensor], Tensor]
    if density is None:
        layer, parameters = Masked(weight, mask, masks_state=True), [weight, bias]
        forward, x = partial(functional.linear, weight=weight, bias=bias), torch.full((batch_size, in_features), 0.01)
    else:
        forward = CsrLinear(weight, bias, positions(mask.flatten()))
        layer, parameters = Csr(forward, updates=False), list(forward.parameters())
        x = torch.full((in_features, batch_size), 0.01).t()
    x.requires_grad_()
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9, fused=True)
    layer.bind(optimizer)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        x.grad = None
        y = forward(x)
        y.backward(torch.full_like(y, 1e-3))
        optimizer.step()
        layer.after_step()

    return step


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(file: Path) -> dict[str, float]:
    try:
        known = json.loads(file.read_text())
        return {str(key): float(value) for key, value in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(file: Path, known: dict[str, float]) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(known, indent=1))
    temporary.replace(file)
