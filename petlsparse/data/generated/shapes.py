"""``shapes-count``: how many coloured shapes lie on the 64x64 canvas, after Clevr-Count.

VTAB-1k style (arXiv 1910.04867): 800 training, 200 validation and 3,000 test images, 3 to 10 shapes, label = number
minus 3, all labels equally frequent. Shapes may overlap, but centres keep their distance, so that a good part of
each one can be seen. Sizes differ between images more than within one: the coloured area alone does not tell the
number. The background is grainy and unevenly lit, as a photographed scene is. (Over flat backgrounds the counting that
``vit-micro`` learnt carries over whole, and adapters have nothing left to do.)
Deviation from Clevr: flat shapes instead of rendered solids.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch

from petlsparse.data.generated import polygons
from petlsparse.data.generated.scatter import scatter
from petlsparse.data.rng import Rng, balanced_labels, integers, rng_for, uniform
from petlsparse.data.types import HeldOut, RawDataset, Split

CANVAS = 64
FEWEST, MOST = 3, 10
EXAMPLES = {"train": 800, "val": 200, "test": 3000}
TEST_FINGERPRINT = "abaa0efe51e4"
DISTANCE = 10.0
MARGIN = 7.0
RADIUS = (3.5, 7.0)  # of the image; a shape deviates from it by a seventh at most
DEVIATION = (6 / 7, 8 / 7)
SHADING = 10.0  # of 255, either way
SHADING_POINTS = 6  # in each direction; in between the light changes linearly
GRAIN = 6.0  # of 255, either way, from pixel to pixel

DISC = polygons.star((1.0,) * 16)
SQUARE = polygons.star((1.0,) * 4)
TRIANGLE = polygons.star((1.0,) * 3)
PENTAGRAM = polygons.star((1.0, 0.5) * 5)
SHAPES = polygons.stack((DISC, SQUARE, TRIANGLE, PENTAGRAM))
COLOURS = np.array(
    [(220, 50, 40), (50, 90, 220), (40, 170, 70), (230, 200, 40), (150, 60, 190), (40, 190, 200), (240, 130, 40)]
)


def draw(split: str) -> Split:
    """Draw one split: the background first, then shape after shape over it."""
    rng, count = rng_for("shapes-count", split), EXAMPLES[split]
    labels = balanced_labels(rng, count, MOST - FEWEST + 1)
    centres = scatter(rng, count, MOST, MARGIN, CANVAS - MARGIN, DISTANCE)
    grey = integers(rng, 90, 140, (count, 1, 1, 1)) + uniform(rng, -GRAIN, GRAIN, (count, 1, CANVAS, CANVAS))
    light = shading(uniform(rng, -SHADING, SHADING, (count, 3, SHADING_POINTS, SHADING_POINTS)))
    images = np.rint(grey + light).astype(np.uint8)
    radius = uniform(rng, *RADIUS, count)
    for k in range(MOST):
        present = np.flatnonzero(k < labels + FEWEST)
        colour = COLOURS[integers(rng, 0, len(COLOURS), len(present))] + integers(rng, -15, 16, (len(present), 3))
        image, row, column = np.nonzero(random_shapes(rng, centres[present, k], radius[present]))
        images[present[image], :, row, column] = colour[image]
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def shading(light: np.ndarray) -> np.ndarray:
    """Light at a grid of points (N, 3, P, P), interpolated linearly to every pixel: (N, 3, CANVAS, CANVAS)."""
    points = light.shape[-1]
    place = np.linspace(0, points - 1, CANVAS)
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(points)), 0, None)
    shaded: np.ndarray = weights @ light @ weights.T
    return shaded


def random_shapes(rng: Rng, centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """A random shape at each centre (N, 2), of about the given radius (N,): bool (N, CANVAS, CANVAS)."""
    count = len(centre)
    shapes = SHAPES[integers(rng, 0, len(SHAPES), count)]
    radius = radius * uniform(rng, *DEVIATION, count)
    placed = polygons.place(shapes, centre, radius, uniform(rng, 0, 2 * np.pi, count))
    return polygons.fill(placed, CANVAS)


@cache
def count() -> RawDataset:
    """The number of shapes, 3 to 10."""
    parts = (draw("train"), draw("val"), partial(draw, "test"))
    held_out = HeldOut(EXAMPLES["test"], TEST_FINGERPRINT)
    return RawDataset(MOST - FEWEST + 1, *parts, mean=(0.5,) * 3, std=(0.5,) * 3, held_out=held_out)
