"""Drop schedules: the share of active weights replaced at an update, over the steps up to `end`."""

import math

FLOOR = 0.005
"""Where the decaying schedules end (2306.12230, released code); a smaller initial fraction stays as it is."""


def cosine(initial: float, step: int, end: float) -> float:
    """From `initial` at step 0 to `FLOOR` at `end`, along half a cosine (2306.12230, released code)."""
    floor = min(FLOOR, initial)
    return floor + (initial - floor) * (1 + math.cos(math.pi * step / end)) / 2


def constant(initial: float, step: int, end: float) -> float:
    """Always `initial`."""
    return initial


def linear(initial: float, step: int, end: float) -> float:
    """From `initial` at step 0 to `FLOOR` at `end`, along a line (the released "linear" decays geometrically)."""
    floor = min(FLOOR, initial)
    return initial + (floor - initial) * step / end
