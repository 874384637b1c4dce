"""Statistics over the seeds of one configuration: mean, standard deviation and the Student-t interval of the mean.

The t interval and not a percentile bootstrap: at three to ten replicates the bootstrap's nominal 95 % interval
covers far less than 95 %, while the t interval is exact for normal data at any n of two or more.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit


@dataclass(frozen=True)
class SampleSummary:
    """What n replicates say about a mean. What n is too small for is None, never a made-up zero."""

    n: int
    mean: float | None
    sd: float | None
    half_width: float | None
    """Half of the width of the interval of the mean."""

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.mean is None or self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.mean is None or self.half_width is None else self.mean + self.half_width


def summarise(values: Iterable[float | None], confidence: float = 0.95) -> SampleSummary:
    """Mean, sample standard deviation (n - 1) and Student-t half-width of the finite numbers in `values`.

    An interval assumes independent, roughly normal replicates; n is the count of finite values.
    """
    finite = _finite(values)
    n = len(finite)
    if n == 0:
        return SampleSummary(0, None, None, None)
    center = float(finite.mean())
    if n == 1:
        return SampleSummary(1, center, None, None)
    sd = float(finite.std(ddof=1))
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    return SampleSummary(n, center, sd, quantile * sd / math.sqrt(n))


def mean(values: Iterable[float | None]) -> float | None:
    """Of the finite numbers in `values`; None if there is none."""
    finite = _finite(values)
    return float(finite.mean()) if len(finite) else None


def _finite(values: Iterable[float | None]) -> NDArray[np.float64]:
    numbers = np.array(list(values), dtype=np.float64)  # None becomes NaN
    return numbers[np.isfinite(numbers)]
