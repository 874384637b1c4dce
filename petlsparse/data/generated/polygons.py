"""Polygons: outlines of the shapes that the generated sets draw, and a vectorised fill.

An outline is a float array (V, 2) of (x, y), y pointing down, its area's centroid at the origin and its area that of
the unit disc, so that "radius" means the same for every shape.
"""

from __future__ import annotations

import numpy as np

from petlsparse.data.rng import unit_vectors


def outline(*points: tuple[float, float]) -> np.ndarray:
    """An outline from any simple polygon: centred on its centroid and scaled to the area of the unit disc."""
    vertices = np.asarray(points, dtype=np.float64)
    x, y = vertices.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    centroid = ((vertices + np.roll(vertices, -1, axis=0)) * cross[:, None]).sum(0) / (6 * area)
    scaled: np.ndarray = np.round((vertices - centroid) * np.sqrt(np.pi / abs(area)), 9)
    return scaled


def star(radii: tuple[float, ...]) -> np.ndarray:
    """An outline with vertices at the given distances from a point, at equal angles, starting at the right."""
    cos, sin = unit_vectors(2 * np.pi * np.arange(len(radii)) / len(radii))
    return outline(*zip(radii * cos, radii * sin, strict=True))


def stack(outlines: tuple[np.ndarray, ...]) -> np.ndarray:
    """Outlines in one array (S, V, 2); the last vertex is repeated where a shape has fewer than the most."""
    most = max(map(len, outlines))
    return np.stack([np.pad(points, ((0, most - len(points)), (0, 0)), mode="edge") for points in outlines])


def place(outlines: np.ndarray, centre: np.ndarray, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Outlines (N, V, 2) turned clockwise by ``angle`` (N,), scaled by ``radius`` (N,), moved to ``centre`` (N, 2)."""
    cos, sin = (value[:, None] for value in unit_vectors(angle))
    x, y = outlines[..., 0], outlines[..., 1]
    turned = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
    placed: np.ndarray = turned * radius[:, None, None] + centre[:, None, :]
    return placed


def fill(vertices: np.ndarray, size: int) -> np.ndarray:
    """Which pixel centres lie inside each polygon (N, V, 2), by the even-odd rule: bool (N, size, size).

    Along every row of pixels an edge changes outside to inside, or back, from the first centre beyond it.
    """
    middle = np.arange(size) + 0.5
    changes = np.zeros((len(vertices), size, size + 1), dtype=bool)
    for start, end in zip(vertices.swapaxes(0, 1), np.roll(vertices, -1, axis=1).swapaxes(0, 1), strict=True):
        polygon, row = np.nonzero((start[:, 1:] <= middle) != (end[:, 1:] <= middle))
        (x0, y0), (x1, y1) = start[polygon].T, end[polygon].T
        crossing = x0 + (middle[row] - y0) * ((x1 - x0) / (y1 - y0))
        column = np.searchsorted(middle, crossing, side="right")
        changes[polygon, row, column] ^= True
    return np.logical_xor.accumulate(changes, axis=-1)[..., :-1]
