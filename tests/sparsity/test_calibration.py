"""Where two straight lines meet, and how the times they go through are taken: on a clock that only the steps move."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from petlsparse.sparsity.calibration import (
    BUDGET,
    ROUNDS,
    SAMPLE_SECONDS,
    best_seconds,
    intersection,
    measured_crossover,
)
from petlsparse.sparsity.geometry import LayerGeometry


@pytest.mark.parametrize(
    ("masked", "at_low", "at_high", "density"),
    [
        (10, 2, 10, 0.1),
        (6, 2, 10, 0.06),  # half way between the densities 0.02 and 0.1
        (18, 2, 10, 0.18),  # as far beyond
        (2, 2, 10, 0.0),  # csr wins nothing at 0.02
        (1000, 2, 10, 1.0),
        (10, 2, 2, 1.0),  # csr costs the same at every density
    ],
)
def test_csr_is_faster_below_the_density_where_its_line_meets_the_masked_time(
    masked: float, at_low: float, at_high: float, density: float
) -> None:
    assert intersection(masked, at_low, at_high) == pytest.approx(density)


class Clock:
    """Moved by steps that take as long as they are told; the last time holds on."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, ""

    def __call__(self) -> float:
        return self.now

    def step(self, name: str, *seconds: float) -> Callable[[], None]:
        times: Iterator[float] = iter(seconds)
        last = seconds[-1]

        def step() -> None:
            self.log += name
            self.now += next(times, last)

        return step


def test_steps_are_timed_in_turns_and_the_first_of_each_does_not_count() -> None:
    clock = Clock()
    unit = BUDGET / 100
    a, b = (clock.step(name, *(unit * t for t in times)) for name, times in (("a", (1, 5, 4, 3, 6)), ("b", (9, 8, 7))))
    assert best_seconds([a, b], clock) == pytest.approx([3 * unit, 7 * unit])
    assert clock.log == "ab" * (1 + ROUNDS)


def test_steps_that_take_long_are_timed_once() -> None:
    clock = Clock()
    assert best_seconds([clock.step("a", BUDGET), clock.step("b", 2 * BUDGET)], clock) == [BUDGET, 2 * BUDGET]
    assert clock.log == "abab"


def test_short_steps_are_repeated_and_the_time_is_that_of_one() -> None:
    clock = Clock()
    short = clock.step("s", SAMPLE_SECONDS / 4)
    assert best_seconds([short], clock) == [pytest.approx(SAMPLE_SECONDS / 4)]
    assert len(clock.log) == 1 + ROUNDS * 5


@pytest.mark.parametrize(
    "geometry",
    [
        LayerGeometry((30, 20)),
        LayerGeometry((30, 20), needs_input_grad=False),
        LayerGeometry((6, 4, 3, 3), (9, 8), (2, 1), (1, 0)),
    ],
)
def test_measuring_draws_from_no_generator_that_a_run_uses(geometry: LayerGeometry) -> None:
    before = torch.get_rng_state()
    assert 0 <= measured_crossover(geometry, 8) <= 1
    assert torch.equal(torch.get_rng_state(), before)
