"""Which layers hold and compute with their active weights only ("csr"), and which are dense over zeros ("masked")."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from petlsparse.sparsity.distributions import Shape

Crossover = Callable[[int, int], float]
"""(out, in) -> density below which a linear layer of this size is faster as csr."""

SMALL = 16_384
"""Layers of fewer weights are masked unless csr is asked for: it would save less than a tenth of a millisecond."""
DENSE = 0.5
"""So are layers of at least this density: it would save nothing (crossovers lie between 0.1 and 0.3)."""


def choose_backends(
    requested: Literal["auto", "masked", "csr"],
    shapes: Mapping[str, Shape],
    counts: Mapping[str, int],
    *,
    convertible: Collection[str],
    crossover: Crossover,
) -> dict[str, str]:
    """Layer name -> "masked" or "csr", for every layer of `shapes`.

    "csr" makes every convertible layer so that has an inactive weight; "auto" each that is faster so.

    Args:
        requested: what the user asked for.
        shapes: layer name -> shape of its weight.
        counts: layer name -> active weights.
        convertible: layers that can be csr, from `csr.convertible(model)`.
        crossover: asked for "auto" only, about layers where the answer is not clear beforehand.
    """

    def is_csr(name: str) -> bool:
        size = math.prod(shapes[name])
        if requested == "masked" or name not in convertible or counts[name] == size:
            return False
        if requested == "csr":
            return True
        if size < SMALL or counts[name] >= DENSE * size:
            return False
        out_features, in_features = shapes[name]
        return counts[name] < crossover(out_features, in_features) * size

    return {name: "csr" if is_csr(name) else "masked" for name in shapes}
