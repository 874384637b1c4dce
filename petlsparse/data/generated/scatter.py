"""Random points that keep their distance."""

from __future__ import annotations

import numpy as np

from petlsparse.data.rng import Rng, uniform


def scatter(rng: Rng, count: int, points: int, low: float, high: float, distance: float) -> np.ndarray:
    """Points for ``count`` images, (count, points, 2) in [low, high), those of one image at least ``distance`` apart.

    Dart throwing: a dart too close to an earlier one of its image is lost, until every image has all its points.
    The caller must leave room for them.
    """
    placed = np.full((count, points, 2), np.inf)
    found = np.zeros(count, dtype=np.int64)
    while (unfinished := np.flatnonzero(found < points)).size:
        dart = uniform(rng, low, high, (unfinished.size, 2))
        gap = ((placed[unfinished] - dart[:, None]) ** 2).sum(-1).min(axis=1)
        free = gap >= distance**2
        lucky = unfinished[free]
        placed[lucky, found[lucky]] = dart[free]
        found[lucky] += 1
    return placed
