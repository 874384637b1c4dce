"""``sprites-location`` and ``sprites-orientation``: one white shape on a black 64x64 canvas, after dSprites.

VTAB-1k style (arXiv 1910.04867): 800 training, 200 validation and 3,000 test images; the label is one latent factor
in 16 equal bins, all bins equally frequent, the other factors are random. Deviations from dSprites: the factors are
continuous, and the shapes (a heart, a drop, an L) look the same only after a full turn, so that a bin of
orientation is one of 16 parts of the circle and never ambiguous.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch

from petlsparse.data.generated import polygons
from petlsparse.data.rng import balanced_labels, integers, rng_for, uniform
from petlsparse.data.types import HeldOut, RawDataset, Split

CANVAS = 64
BINS = 16
EXAMPLES = {"train": 800, "val": 200, "test": 3000}
TEST_FINGERPRINTS = {"location": "49865e78fda4", "orientation": "8c227ff153c4"}
MARGIN = 10.0  # pixels between a centre and the border: most of every sprite stays visible
RADIUS = (6.0, 10.0)

HEART = polygons.outline(
    (0.0, 1.0), (-0.55, 0.5), (-0.92, 0.05), (-1.0, -0.35), (-0.8, -0.7), (-0.45, -0.8), (-0.15, -0.62),
    (0.0, -0.3), (0.15, -0.62), (0.45, -0.8), (0.8, -0.7), (1.0, -0.35), (0.92, 0.05), (0.55, 0.5),
)  # fmt: skip
DROP = polygons.outline(
    (1.7, 0.0), (0.5, 0.55), (0.1, 0.7), (-0.3, 0.65), (-0.6, 0.4), (-0.72, 0.0), (-0.6, -0.4), (-0.3, -0.65),
    (0.1, -0.7), (0.5, -0.55),
)  # fmt: skip
ELL = polygons.outline((-0.6, -1.0), (0.0, -1.0), (0.0, 0.4), (0.9, 0.4), (0.9, 1.0), (-0.6, 1.0))
SHAPES = polygons.stack((HEART, DROP, ELL))


def draw(factor: str, split: str) -> Split:
    """Draw one split, labelled with ``factor``: "location" (of the centroid, left to right) or "orientation"."""
    rng, count = rng_for(f"sprites-{factor}", split), EXAMPLES[split]
    labels = balanced_labels(rng, count, BINS)
    labelled = (labels + rng.random(count)) / BINS  # in [0, 1): the factor that the label bins
    free = rng.random((count, 2))
    x, turn = (labelled, free[:, 0]) if factor == "location" else (free[:, 0], labelled)
    centre = MARGIN + (CANVAS - 2 * MARGIN) * np.stack([x, free[:, 1]], axis=-1)
    shapes = SHAPES[integers(rng, 0, len(SHAPES), count)]
    placed = polygons.place(shapes, centre, uniform(rng, *RADIUS, count), 2 * np.pi * turn)
    images = polygons.fill(placed, CANVAS)[:, None] * np.uint8(255)
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _source(factor: str) -> RawDataset:
    parts = (draw(factor, "train"), draw(factor, "val"), partial(draw, factor, "test"))
    held_out = HeldOut(EXAMPLES["test"], TEST_FINGERPRINTS[factor])
    return RawDataset(BINS, *parts, mean=(0.5,), std=(0.5,), held_out=held_out)


@cache
def location() -> RawDataset:
    """Where the sprite is: its centroid's x in 16 bins."""
    return _source("location")


@cache
def orientation() -> RawDataset:
    """How far the sprite is turned: clockwise angle in 16 bins of 22.5 degrees."""
    return _source("orientation")
