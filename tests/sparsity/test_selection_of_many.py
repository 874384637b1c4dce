"""Long lists are selected from by way of a sample; a stable full sort says what must come out."""

import pytest
import torch

from petlsparse.sparsity.selection import lowest


def scores(kind: str, count: int) -> torch.Tensor:
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(0))
    if kind == "ties":
        return (drawn * 3).round()
    if kind == "sorted":
        return drawn.sort().values
    if kind == "equal":
        return torch.ones(count)
    if kind == "odd":
        drawn[::5], drawn[1::7], drawn[2::9] = torch.nan, torch.inf, -torch.inf
    return drawn


@pytest.mark.parametrize("length", [7, 65_536, 200_003])
@pytest.mark.parametrize("kind", ["plain", "ties", "sorted", "equal", "odd"])
def test_the_lowest_of_many_are_those_of_a_stable_sort(kind: str, length: int) -> None:
    score = scores(kind, length)
    infinite = score.double().nan_to_num(nan=-3e300, neginf=-2e300, posinf=3e300)  # NaN below everything
    order = infinite.sort(stable=True).indices
    for count in (0, 1, length // 50, length // 3, length - 1, length):
        expected = torch.zeros(length, dtype=torch.bool)
        expected[order[:count]] = True
        assert torch.equal(lowest(score, count), expected), count
