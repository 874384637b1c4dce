"""Which layers hold and compute with their active weights only ("csr"), and which are dense over zeros ("masked")."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

from petlsparse.sparsity.distributions import WeightShape
from petlsparse.sparsity.geometry import LayerGeometry

Crossover = Callable[[LayerGeometry], float]
"""Density below which a layer is faster as csr."""

SMALL_LAYER = 16_384
"""Layers of fewer multiplications per example are masked unless csr is asked for: it would save less than a tenth of a
millisecond."""
DENSE_LAYER = 0.5
"""So are layers of at least this density: it would save nothing (crossovers lie between 0.1 and 0.35)."""


def choose_backends(
    requested: Literal["auto", "masked", "csr"],
    shapes: Mapping[str, WeightShape],
    counts: Mapping[str, int],
    *,
    geometries: Mapping[str, LayerGeometry],
    crossover: Crossover,
) -> dict[str, str]:
    """Layer name -> "masked" or "csr", for every layer of `shapes`.

    "csr" makes every convertible layer so that has an inactive weight; "auto" each that is faster so.

    Args:
        requested: what the user asked for.
        shapes: layer name -> shape of its weight.
        counts: layer name -> active weights.
        geometries: of the layers that can be csr, those of `csr.convertible(model)`.
        crossover: asked for "auto" only, about layers where the answer is not clear beforehand.
    """

    def is_csr(name: str) -> bool:
        size = math.prod(shapes[name])
        if requested == "masked" or name not in geometries or counts[name] == size:
            return False
        if requested == "csr":
            return True
        if geometries[name].products < SMALL_LAYER or counts[name] >= DENSE_LAYER * size:
            return False
        return counts[name] < crossover(geometries[name]) * size

    return {name: "csr" if is_csr(name) else "masked" for name in shapes}
