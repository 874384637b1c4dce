"""Which layers become csr, on request and by a crossover, decided without measuring anything."""

from __future__ import annotations

import pytest

from petlsparse.sparsity.backends import DENSE, SMALL, choose_backends

SHAPES = {"big": (400, 500), "conv": (64, 64, 3, 3), "small": (100, 100), "full": (400, 600)}
COUNTS = {"big": 20_000, "conv": 1_000, "small": 100, "full": 240_000}  # densities .1, .03, .01, 1
LINEAR = ("big", "small", "full")


def unasked(*_: int) -> float:
    raise AssertionError("nothing needed to be measured")


def test_on_request_every_convertible_layer_with_an_inactive_weight_is_csr() -> None:
    chosen = choose_backends("csr", SHAPES, COUNTS, convertible=LINEAR, crossover=unasked)
    assert chosen == {"big": "csr", "conv": "masked", "small": "csr", "full": "masked"}


def test_masked_is_masked_throughout_and_asks_nothing() -> None:
    chosen = choose_backends("masked", SHAPES, COUNTS, convertible=LINEAR, crossover=unasked)
    assert chosen == dict.fromkeys(SHAPES, "masked")


@pytest.mark.parametrize(("crossover", "backend"), [(0.11, "csr"), (0.1, "masked"), (0.0, "masked")])
def test_by_itself_a_big_layer_is_csr_below_its_crossover(crossover: float, backend: str) -> None:
    asked = []

    def measured(*size: int) -> float:
        asked.append(size)
        return crossover

    chosen = choose_backends("auto", SHAPES, COUNTS, convertible=LINEAR, crossover=measured)
    assert chosen == {"big": backend, "conv": "masked", "small": "masked", "full": "masked"}
    assert asked == [(400, 500)]


def test_where_the_answer_is_clear_nothing_is_measured() -> None:
    shapes = {"small": (1, SMALL - 1), "dense": (1000, 1000)}
    counts = {"small": 1, "dense": int(DENSE * 1_000_000)}
    chosen = choose_backends("auto", shapes, counts, convertible=shapes, crossover=unasked)
    assert chosen == {"small": "masked", "dense": "masked"}
