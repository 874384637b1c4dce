"""Which rank each part has: one for all, its own, or the largest common one that a budget of parameters allows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from petlsparse.errors import Problem, UserError


def largest_rank(budget: int, parameters: Callable[[int], int], most: int) -> int:
    """The largest rank in 1..most whose trained parameters are within a budget.

    Args:
        budget: parameters, those of the head not counted.
        parameters: of a rank; they grow with it.
        most: what a rank is bounded by.

    Raises:
        UserError: rank 1 has more already.
    """
    rank = bisect_right(range(1, most + 1), budget, key=parameters)
    if rank == 0:
        message = f"too few: with rank 1 there are {parameters(1)}, the head not counted"
        raise UserError(Problem(message, "method.parameters", str(budget)))
    return rank
