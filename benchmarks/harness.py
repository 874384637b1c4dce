"""Contestants take turns in one process, A B C A B C ..., so that whatever slows a machine down slows all of them.

A contestant is a callable without arguments. What counts is the ratio to the first contestant, taken round by round:
two calls that are neighbours in time have met the same machine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import quantiles
from typing import Literal, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

Quantity = Literal["cpu", "wall", "bytes"]
"""Seconds of CPU of the whole process, seconds on the clock, bytes."""


@dataclass(frozen=True)
class Effort:
    """How much to spend. `quick` asks a benchmark for the smallest case that runs all of its code."""

    rounds: int = 15
    quick: bool = False

    def at_most(self, rounds: int) -> int:
        """The rounds of a comparison whose single round is long."""
        return min(self.rounds, rounds)


@dataclass(frozen=True)
class Contestant:
    """One way of doing the work; `flops` are those that one call cannot avoid, None where nobody counted.

    A call may do the work several times over: times, and FLOPs in the end, are of one of its `parts`.
    """

    name: str
    call: Callable[[], object]
    flops: float | None = None
    parts: int = 1


class Clocks(NamedTuple):
    """Where the time is read, in seconds: the process's CPU time, all threads together, and the wall's."""

    cpu: Callable[[], float] = time.process_time
    wall: Callable[[], float] = time.perf_counter


class Summary(NamedTuple):
    """A list of numbers: the smallest, the quartiles, how many there are."""

    best: float
    lower: float
    median: float
    upper: float
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Quartiles by linear interpolation between the values. Raises ValueError for no values."""
    if not values:
        raise ValueError("nothing to summarise")
    lower, median, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Summary(min(values), lower, median, upper, len(values))


@dataclass(frozen=True)
class Comparison:
    """What was measured: contestant -> quantity -> a value per round, in the order of the rounds.

    Attributes:
        title: the question and its set-up, in one line.
        samples: the first contestant is the reference of all ratios.
        by: the quantity that is summarised and compared.
        flops: of what the values are times of, by contestant.
        roof: the contestant whose FLOP/s the others are held against: a plain product of the size in question.
        notes: what a reader must know, such as peers that are missing.
    """

    title: str
    samples: Mapping[str, Mapping[Quantity, Sequence[float]]]
    by: Quantity = "cpu"
    flops: Mapping[str, float] = field(default_factory=dict)
    roof: str | None = None
    notes: Sequence[str] = ()

    @property
    def reference(self) -> str:
        """The first contestant."""
        return next(iter(self.samples))

    def summary(self, name: str) -> Summary:
        """Of one contestant's values."""
        return summarise(self.samples[name][self.by])

    def ratio(self, name: str) -> Summary:
        """How many times less than the reference a contestant takes, round by round; above 1 it is the better one."""
        pairs = zip(self.samples[self.reference][self.by], self.samples[name][self.by], strict=True)
        return summarise([reference / own for reference, own in pairs])

    def flop_rate(self, name: str) -> float | None:
        """FLOP/s of a contestant in its median round."""
        return self.flops[name] / self.summary(name).median if name in self.flops else None

    def share_of_roof(self, name: str) -> float | None:
        """FLOP/s of a contestant as a share of the plain product's."""
        own, roof = self.flop_rate(name), self.flop_rate(self.roof) if self.roof else None
        return own / roof if own and roof else None


def compare(
    title: str,
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    repeat: int = 1,
    by: Quantity = "cpu",
    roof: Contestant | None = None,
    notes: Sequence[str] = (),
    warm: bool = True,
    clocks: Clocks = Clocks(),  # noqa: B008 - immutable
) -> Comparison:
    """Measure contestants in turns.

    Args:
        title: see `Comparison`.
        contestants: the first is the reference; names are unique.
        rounds: times that each is measured.
        repeat: calls per measurement, for calls of a few milliseconds; times are per call, or part of one.
        by: see `Comparison`.
        roof: takes part like all others, see `Comparison`.
        notes: see `Comparison`.
        warm: call each once before, which does not count.
        clocks: what the time is read from.

    Raises:
        ValueError: two contestants of one name.
    """
    contestants = [*contestants, *([roof] if roof else [])]
    samples: dict[str, dict[Quantity, list[float]]] = {one.name: {"cpu": [], "wall": []} for one in contestants}
    if len(samples) < len(contestants):
        raise ValueError(f"two contestants of one name: {[one.name for one in contestants]}")
    with undisturbed():
        for one in contestants if warm else ():
            one.call()
        for _ in range(rounds):
            for one in contestants:
                cpu, wall = clocks.cpu(), clocks.wall()
                for _ in range(repeat):
                    one.call()
                samples[one.name]["wall"].append((clocks.wall() - wall) / (repeat * one.parts))
                samples[one.name]["cpu"].append((clocks.cpu() - cpu) / (repeat * one.parts))
    flops = {one.name: one.flops / one.parts for one in contestants if one.flops is not None}
    return Comparison(title, samples, by, flops, roof.name if roof else None, notes)


def compare_on(device: torch.device) -> Callable[..., Comparison]:
    """`compare`: by CPU time on a CPU; on CUDA by the wall's clock, read once the device has done what it was given."""
    if device.type != "cuda":
        return compare

    def wall() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return partial(compare, by="wall", clocks=Clocks(wall=wall))


def beyond(measured: Comparison, bases: Mapping[str, str]) -> Comparison:
    """What every contestant named in `bases` takes beyond the one it names, round by round."""
    taken = {name: samples[measured.by] for name, samples in measured.samples.items()}
    extra = {
        name: {measured.by: [own - less for own, less in zip(taken[name], taken[base], strict=True)]}
        for name, base in bases.items()
    }
    return Comparison(measured.title, extra, measured.by, notes=measured.notes)


@contextmanager
def undisturbed() -> Iterator[None]:
    """One thread, and no garbage collection at a moment of its own choosing."""
    threads, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(1)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()


def matmul(
    rows: int, inner: int, columns: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Contestant:
    """The roof: a plain product (rows, inner) @ (inner, columns)."""
    left = torch.randn(rows, inner, dtype=dtype, device=device)
    right = torch.randn(inner, columns, dtype=dtype, device=device)
    out = torch.empty(rows, columns, dtype=dtype, device=device)
    name = f"matmul {rows} x {inner} x {columns}" + ("" if dtype == torch.float32 else f", {str(dtype)[6:]}")
    return Contestant(name, lambda: torch.mm(left, right, out=out), 2.0 * rows * inner * columns)


def counted(call: Callable[[], object]) -> float:
    """FLOPs of one call: matrix products, convolutions and attention, as torch counts those it dispatches."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())
