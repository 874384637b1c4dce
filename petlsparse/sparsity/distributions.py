"""How many weights each layer keeps: layer densities by rule, and the exact integers closest to them."""

import math
from collections.abc import Mapping, Sequence

from petlsparse.errors import Problem, UserError
from petlsparse.registry import resolve
from petlsparse.sparsity import DISTRIBUTIONS

WeightShape = Sequence[int]
"""Shape of a weight: (out, in) or (out, in, *kernel)."""


def layer_counts(shapes: Mapping[str, WeightShape], density: float, distribution: str) -> dict[str, int]:
    """Active weights per layer: integers of at least 1, adding up to round(density * all weights) exactly.

    Each layer first gets the whole part of its share. What is then missing goes, one by one, to the layer furthest
    below its share (largest remainder); of equals, to the first.

    Args:
        shapes: layer name -> shape of its weight.
        density: fraction of all weights kept, in (0, 1].
        distribution: a key of `DISTRIBUTIONS`.

    Raises:
        UserError: the density is not in (0, 1] or leaves less than one weight per layer, or the name is unknown.
    """
    if not 0 < density <= 1:
        raise UserError(Problem("must be greater than 0 and at most 1", "method.density", str(density)))
    sizes = [math.prod(shape) for shape in shapes.values()]
    total = round(density * sum(sizes))
    if total < len(sizes):
        message = f"must keep at least one weight in each of {len(sizes)} layers ({sum(sizes)} weights)"
        raise UserError(Problem(message, "method.density", str(density)))
    densities = resolve(DISTRIBUTIONS, distribution, "distribution")(list(shapes.values()), density)
    shares = [layer_density * size for layer_density, size in zip(densities, sizes, strict=True)]
    counts = [min(size, max(1, math.floor(share))) for share, size in zip(shares, sizes, strict=True)]
    layers = range(len(sizes))
    while sum(counts) < total:
        counts[max((i for i in layers if counts[i] < sizes[i]), key=lambda i: shares[i] - counts[i])] += 1
    while sum(counts) > total:  # layers too small for a whole weight were given one
        counts[min((i for i in layers if counts[i] > 1), key=lambda i: shares[i] - counts[i])] -= 1
    return dict(zip(shapes, counts, strict=True))


def uniform(shapes: Sequence[WeightShape], density: float) -> list[float]:
    """The same density for every shape."""
    return [density] * len(shapes)


def erk(shapes: Sequence[WeightShape], density: float) -> list[float]:
    """Erdos-Renyi-Kernel (1911.11134): density proportional to sum(shape) / prod(shape), kernel dimensions included."""
    return _proportional([sum(shape) / math.prod(shape) for shape in shapes], shapes, density)


def er(shapes: Sequence[WeightShape], density: float) -> list[float]:
    """Erdos-Renyi (1707.04780): density proportional to (out + in) / (out * in), kernel dimensions left out."""
    return _proportional([sum(shape[:2]) / math.prod(shape[:2]) for shape in shapes], shapes, density)


def _proportional(raw: Sequence[float], shapes: Sequence[WeightShape], density: float) -> list[float]:
    """Densities epsilon * raw with the right total, none above 1.

    Layers that would exceed 1 are made dense and epsilon solved again for the others. It only grows thereby, so the
    order in which layers become dense (2306.12230: the largest raw density first) makes no difference.
    """
    sizes = [math.prod(shape) for shape in shapes]
    sparse = set(range(len(sizes)))
    epsilon = 0.0
    while sparse:
        in_dense_layers = sum(sizes) - sum(sizes[i] for i in sparse)
        epsilon = (density * sum(sizes) - in_dense_layers) / sum(raw[i] * sizes[i] for i in sparse)
        overfull = {i for i in sparse if epsilon * raw[i] > 1}
        if not overfull:
            break
        sparse -= overfull
    return [epsilon * raw[i] if i in sparse else 1.0 for i in range(len(sizes))]
