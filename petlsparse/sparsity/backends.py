"""Which layers hold and compute with their active weights only ("csr"), and which are dense over zeros ("masked")."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from petlsparse.errors import Problem, UserError
from petlsparse.sparsity.distributions import Shape

Crossover = Callable[[int, int, int], float]
"""(out, in, batch size) -> density below which a linear layer is faster as csr; see `calibration.crossover`."""


def choose_backends(
    requested: Literal["auto", "masked", "csr"],
    shapes: Mapping[str, Shape],
    counts: Mapping[str, int],
    *,
    convertible: Collection[str],
    batch_size: int,
    state: Literal["masked", "dense"] = "masked",
    crossover: Crossover,
) -> dict[str, str]:
    """Layer name -> "masked" or "csr", for every layer of `shapes`.

    On request every convertible layer that has an inactive weight is csr; by itself ("auto") each that is faster so.

    Args:
        requested: what the user asked for.
        shapes: layer name -> shape of its weight.
        counts: layer name -> active weights.
        convertible: layers that can be csr, from `csr.convertible(model)`.
        batch_size: rows that a layer's input has in a step.
        state: of the optimizer where weights are inactive; "dense" leaves no choice but masked.
        crossover: asked about convertible layers, for "auto" only.

    Raises:
        UserError: csr is requested where no layer can be, or where inactive weights have state.
    """
    if requested == "csr" and not convertible:
        message = "no layer can be: csr layers are linear ones on the CPU"
        raise UserError(Problem(message, "backend", requested, valid=("auto", "masked")))
    if requested == "csr" and state == "dense":
        message = 'csr layers keep no optimizer state of inactive weights, as method.state = "dense" wants'
        raise UserError(Problem(message, "backend", requested, valid=("auto", "masked")))

    def is_csr(name: str) -> bool:
        density = counts[name] / math.prod(shapes[name])
        if requested == "masked" or state == "dense" or name not in convertible or density == 1:
            return False
        out_features, in_features = shapes[name]
        return requested == "csr" or density < crossover(out_features, in_features, batch_size)

    return {name: "csr" if is_csr(name) else "masked" for name in shapes}
