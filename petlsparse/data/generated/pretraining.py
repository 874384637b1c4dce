"""``pretraining-mix``: what the bundled backbone ``vit-micro`` is pre-trained on.

32x32 colour images of four kinds in one label space of 107 classes:

| labels | what | training images |
|---|---|---|
| 0-9 | one garment of Fashion-MNIST, anywhere, any size, turned, mirrored, coloured: which garment | 36,000 |
| 10-18 | 2 to 10 small garments, or blobs: how many | 30,000 |
| 19-42 | one pointer (arrow, wedge, pin, tee, chevron): its direction in 24 parts of the circle | 30,000 |
| 43-106 | one irregular blob: its cell in an 8x8 grid | 14,000 |

The kinds prepare for locating, turning and counting without showing the downstream tasks: their objects (heart,
drop, L; disc, square, triangle, pentagram), canvases, bins and images are others. Garments come from the full
Fashion-MNIST, which has to be on disk; training images use only its training part, validation and test images only its
validation and test parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch

from petlsparse.data.files.fashion_mnist import fashion_mnist
from petlsparse.data.generated import polygons
from petlsparse.data.generated.scatter import scatter
from petlsparse.data.generated.warp import warp
from petlsparse.data.rng import Rng, balanced_labels, integers, rng_for, uniform, unit_vectors
from petlsparse.data.types import RawDataset, Split

CANVAS = 32
EXAMPLES = {"train": (36_000, 30_000, 30_000, 14_000), "val": (1_000,) * 4, "test": (1_000,) * 4}
_CHUNK = 4096  # images drawn at once: bounds the temporaries; part of what the images are

ARROW = polygons.outline((1.0, 0.0), (0.2, 0.7), (0.2, 0.25), (-1.0, 0.25), (-1.0, -0.25), (0.2, -0.25), (0.2, -0.7))
WEDGE = polygons.outline((1.3, 0.0), (-0.7, 0.6), (-0.7, -0.6))
PIN = polygons.outline(
    (1.2, 0.15), (0.0, 0.15), (-0.25, 0.45), (-0.7, 0.45), (-1.0, 0.2), (-1.0, -0.2), (-0.7, -0.45), (-0.25, -0.45),
    (0.0, -0.15), (1.2, -0.15),
)  # fmt: skip
TEE = polygons.outline(
    (1.0, 0.8), (0.5, 0.8), (0.5, 0.2), (-1.0, 0.2), (-1.0, -0.2), (0.5, -0.2), (0.5, -0.8), (1.0, -0.8)
)
CHEVRON = polygons.outline((1.0, 0.0), (-0.2, 1.0), (-0.9, 1.0), (0.2, 0.0), (-0.9, -1.0), (-0.2, -1.0))
POINTERS = polygons.stack((ARROW, WEDGE, PIN, TEE, CHEVRON))

Pictures = np.ndarray
"""Garments, uint8 (M, 28, 28)."""
Drawing = tuple[np.ndarray, np.ndarray]
"""Images uint8 (N, 3, CANVAS, CANVAS) and labels int64 (N,) from 0."""


def garments(rng: Rng, pictures: Pictures, kinds: np.ndarray, count: int) -> Drawing:
    """One large garment; the label is its kind."""
    which = integers(rng, 0, len(pictures), count)
    centre = uniform(rng, 10, 22, (count, 2))
    coverage = _one_garment(rng, pictures[which], centre, uniform(rng, 14, 32, count))
    return _paint(rng, [coverage]), kinds[which]


def numbers(rng: Rng, pictures: Pictures, kinds: np.ndarray, count: int) -> Drawing:
    """2 to 10 small objects that keep their distance, all garments or all blobs; the label is their number.

    Sizes differ between images more than within one: area does not tell the number.
    """
    labels = balanced_labels(rng, count, 9)
    centres = scatter(rng, count, 10, 3.0, CANVAS - 3.0, 5.0)
    dressed = rng.random(count) < 0.5
    size = np.where(dressed, uniform(rng, 5.5, 11, count), uniform(rng, 1.5, 4, count))
    layers = []
    for k in range(10):
        coverage = np.zeros((count, CANVAS, CANVAS), dtype=np.float32)
        worn, drawn = (np.flatnonzero(chosen & (k < labels + 2)) for chosen in (dressed, ~dressed))
        which = integers(rng, 0, len(pictures), len(worn))
        own_size = size * uniform(rng, 0.85, 1.15, count)
        coverage[worn] = _one_garment(rng, pictures[which], centres[worn, k], own_size[worn])
        coverage[drawn] = _blob(rng, centres[drawn, k], own_size[drawn])
        layers.append(coverage)
    return _paint(rng, layers), labels


def directions(rng: Rng, pictures: Pictures, kinds: np.ndarray, count: int) -> Drawing:
    """One pointer; the label is the direction it points to."""
    labels = balanced_labels(rng, count, 24)
    angle = 2 * np.pi * (labels + rng.random(count)) / 24
    shapes = POINTERS[integers(rng, 0, len(POINTERS), count)]
    placed = polygons.place(shapes, uniform(rng, 6, CANVAS - 6, (count, 2)), uniform(rng, 3, 7.5, count), angle)
    return _paint(rng, [_smooth(placed)]), labels


def places(rng: Rng, pictures: Pictures, kinds: np.ndarray, count: int) -> Drawing:
    """One irregular blob with seven corners; the label is the grid cell of its middle."""
    labels = balanced_labels(rng, count, 64)
    cell = np.stack([labels % 8, labels // 8], axis=-1)
    centre = 4 + (CANVAS - 8) * (cell + rng.random((count, 2))) / 8
    return _paint(rng, [_blob(rng, centre, uniform(rng, 2, 6, count))]), labels


KINDS: tuple[tuple[Callable[[Rng, Pictures, np.ndarray, int], Drawing], int], ...] = (
    (garments, 10),
    (numbers, 9),
    (directions, 24),
    (places, 64),
)
"""Every kind of image with its number of classes; labels follow one another in this order."""


def draw(garments_from: Split, split: str) -> Split:
    """Draw one split of the mix from that part of Fashion-MNIST; images of one kind lie together."""
    pictures, kinds = garments_from.images[:, 0].numpy(), garments_from.labels.numpy()
    images, labels, first = [], [], 0
    for (kind, classes), count in zip(KINDS, EXAMPLES[split], strict=True):
        rng = rng_for("pretraining-mix", split, kind.__name__)
        for start in range(0, count, _CHUNK):
            drawn, label = kind(rng, pictures, kinds, min(_CHUNK, count - start))
            images.append(drawn)
            labels.append(label + first)
        first += classes
    return Split(torch.from_numpy(np.concatenate(images)), torch.from_numpy(np.concatenate(labels)))


@cache
def pretraining_mix() -> RawDataset:
    """Train 110,000, val 4,000, test 4,000; 32x32 colour, 107 classes.

    Raises UserError when Fashion-MNIST is not found.
    """
    garment = fashion_mnist()
    parts = (draw(garment.train, "train"), draw(garment.val, "val"))
    classes = sum(classes for _, classes in KINDS)
    test = partial(_draw_test, garment)
    return RawDataset(classes, *parts, test, mean=(0.5,) * 3, std=(0.5,) * 3)


def _draw_test(garment: RawDataset) -> Split:
    return draw(garment.read_test(), "test")


def _one_garment(rng: Rng, pictures: Pictures, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    count = len(pictures)
    return warp(pictures, CANVAS, centre, width, uniform(rng, -0.6, 0.6, count), rng.random(count) < 0.5)


def _blob(rng: Rng, centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """An irregular polygon with seven corners around each centre (N, 2): coverage (N, CANVAS, CANVAS)."""
    count = len(centre)
    corners = np.stack(unit_vectors(2 * np.pi * np.arange(7) / 7), axis=-1)
    shapes = corners * uniform(rng, 0.5, 1.5, (count, 7, 1))
    shapes -= shapes.mean(axis=1, keepdims=True)
    return _smooth(polygons.place(shapes, centre, radius, uniform(rng, 0, 2 * np.pi, count)))


def _smooth(placed: np.ndarray) -> np.ndarray:
    """Polygons (N, V, 2) filled at twice the resolution and averaged: float32 (N, CANVAS, CANVAS) in 0..1."""
    fine = polygons.fill(placed * 2, 2 * CANVAS)
    coverage: np.ndarray = fine.reshape(len(placed), CANVAS, 2, CANVAS, 2).mean(axis=(2, 4), dtype=np.float32)
    return coverage


def _paint(rng: Rng, layers: list[np.ndarray]) -> np.ndarray:
    """Blend layers of coverage (N, CANVAS, CANVAS) over a background: uint8 (N, 3, CANVAS, CANVAS).

    Half of the images are grey on black, the others have a random colour for the background and for every layer,
    each layer's at a distance from the background.
    """
    count = len(layers[0])
    grey = rng.random((count, 1)) < 0.5
    background = np.where(grey, 0.0, uniform(rng, 0, 1, (count, 3)))
    canvas = np.broadcast_to(background[:, :, None, None], (count, 3, CANVAS, CANVAS)).astype(np.float32)
    for coverage in layers:
        shift = uniform(rng, 0.3, 0.7, (count, 3))  # per channel around the circle 0..1: never near the background
        colour = np.where(grey, uniform(rng, 0.6, 1, (count, 1)), (background + shift) % 1.0)
        alpha = coverage[:, None]
        canvas += alpha * (colour[:, :, None, None].astype(np.float32) - canvas)
    pixels: np.ndarray = np.rint(canvas * np.float32(255)).astype(np.uint8)
    return pixels
