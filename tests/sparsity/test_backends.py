"""Which layers become csr, on request and by a crossover, decided without measuring anything."""

from __future__ import annotations

import pytest

from petlsparse.sparsity.backends import DENSE_LAYER, SMALL_LAYER, choose_backends
from petlsparse.sparsity.geometry import LayerGeometry

SHAPES = {"big": (400, 500), "grouped": (64, 64, 3, 3), "conv": (6, 1, 5, 5), "small": (100, 100), "full": (400, 600)}
COUNTS = {"big": 20_000, "grouped": 1_000, "conv": 15, "small": 100, "full": 240_000}  # densities .1, .03, .1, .01, 1
BIG, CONV = LayerGeometry((400, 500)), LayerGeometry((6, 1, 5, 5), (28, 28), (1, 1), (0, 0))
GEOMETRIES = {"big": BIG, "conv": CONV, "small": LayerGeometry((100, 100)), "full": LayerGeometry((400, 600))}


def unasked(_: LayerGeometry) -> float:
    raise AssertionError("nothing needed to be measured")


def test_on_request_every_convertible_layer_with_an_inactive_weight_is_csr() -> None:
    chosen = choose_backends("csr", SHAPES, COUNTS, geometries=GEOMETRIES, crossover=unasked)
    assert chosen == {"big": "csr", "grouped": "masked", "conv": "csr", "small": "csr", "full": "masked"}


def test_masked_is_masked_throughout_and_asks_nothing() -> None:
    chosen = choose_backends("masked", SHAPES, COUNTS, geometries=GEOMETRIES, crossover=unasked)
    assert chosen == dict.fromkeys(SHAPES, "masked")


@pytest.mark.parametrize(("crossover", "backend"), [(0.11, "csr"), (0.1, "masked"), (0.0, "masked")])
def test_by_itself_a_big_layer_is_csr_below_its_crossover(crossover: float, backend: str) -> None:
    asked = []

    def measured(geometry: LayerGeometry) -> float:
        asked.append(geometry)
        return crossover

    chosen = choose_backends("auto", SHAPES, COUNTS, geometries=GEOMETRIES, crossover=measured)
    assert chosen == {**dict.fromkeys(SHAPES, "masked"), "big": backend, "conv": backend}
    assert asked == [BIG, CONV]  # 150 weights, but 86,400 products for 24 x 24 pixels


def test_where_the_answer_is_clear_nothing_is_measured() -> None:
    shapes = {"small": (1, SMALL_LAYER - 1), "dense": (1000, 1000)}
    counts = {"small": 1, "dense": int(DENSE_LAYER * 1_000_000)}
    chosen = choose_backends(
        "auto",
        shapes,
        counts,
        geometries={name: LayerGeometry(shape) for name, shape in shapes.items()},
        crossover=unasked,
    )
    assert chosen == {"small": "masked", "dense": "masked"}
