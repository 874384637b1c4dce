"""Spectral scores against matrices whose singular values are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from petlsparse.errors import UserError
from petlsparse.registry import resolve
from petlsparse.scores import SCORES, spectra
from petlsparse.scores.score import Score, Source
from petlsparse.scores.spectra import by_decomposition, by_gram_matrices, singular_values

SOURCE = Source(node=0, images=4, stream=None, head=None)  # type: ignore[arg-type]

VALUES = [8.0, 4.0, 2.0, 1.0, 0.5, 0.0]
"""Singular values; their sum is 15.5, that of their squares 85.25."""


def with_values(values: list[float], rows: int, columns: int, seed: int = 0) -> Tensor:
    """A matrix with these singular values."""
    drawn = np.random.default_rng(seed)
    left = np.linalg.qr(drawn.normal(size=(rows, len(values))))[0]
    right = np.linalg.qr(drawn.normal(size=(columns, len(values))))[0]
    return torch.from_numpy(left * values @ right.T)


def of(score: Score, matrices: Tensor, **settings: object) -> list[float]:
    values = score.function(singular_values(matrices), SOURCE, **settings)
    return [float(value) for value in values]


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (6, 40), (40, 6), (90, 90), (7, 120)])
@pytest.mark.parametrize("by", [by_gram_matrices, by_decomposition])
def test_singular_values_by_either_way(rows: int, columns: int, by: Callable[[Tensor], Tensor]) -> None:
    matrix = with_values(VALUES, rows, columns)
    wide = matrix if rows <= columns else matrix.T
    found = by(wide[None])[0]
    assert found.dtype == torch.float64
    assert len(found) == min(rows, columns)
    np.testing.assert_allclose(found[:6], VALUES, atol=1e-6 * 8)
    np.testing.assert_allclose(found[6:], 0, atol=1e-6 * 8)
    torch.testing.assert_close(singular_values(matrix[None])[0], found, rtol=0, atol=1e-6 * 8)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("srank", {}, 5),  # 15 of 15.5 are 96.8 %, less than 99 %
        ("srank", {"eta": 0.04}, 4),
        ("srank", {"eta": 0.5}, 1),  # 8 of 15.5 are 51.6 %
        ("srank", {"eta": 0.48}, 2),
        ("numerical-rank", {}, 5),
        ("numerical-rank", {"tolerance": 0.1}, 4),
        ("stable-rank", {}, 85.25 / 64),
        ("frobenius-norm", {}, math.sqrt(85.25) / 4),
        ("nuclear-norm", {}, 15.5 / 4),
        ("spectral-norm", {}, 8 / 4),
        (
            "entropy-rank",
            {},
            math.exp(-sum(v / 15.5 * math.log(v / 15.5) for v in VALUES if v)),
        ),
    ],
)
def test_of_known_singular_values(name: str, settings: dict[str, float], expected: float) -> None:
    score = resolve(SCORES, name, "score")
    matrices = torch.stack([with_values(VALUES, 6, 9, seed) for seed in range(3)])
    assert of(score, matrices, **settings) == pytest.approx([expected] * 3, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in SCORES if hasattr(spectra, name.replace("-", "_"))])
def test_of_a_matrix_of_zeros_it_is_0(name: str) -> None:
    score = resolve(SCORES, name, "score")
    made = singular_values if name != "trace" else lambda matrices: matrices
    assert score.function(made(torch.zeros(2, 5, 5)), SOURCE).tolist() == [0, 0]


def test_a_share_that_is_reached_exactly_is_enough_for_srank() -> None:
    values = torch.tensor([[3.0, 1.0], [1.0, 3.0]], dtype=torch.float64).sort(descending=True).values
    assert spectra.srank.function(values, SOURCE, eta=0.25).tolist() == [1, 1]  # 3 of 4


def test_a_flat_spectrum_has_every_rank_in_full() -> None:
    identity = torch.eye(6)[None]
    for score in (spectra.srank, spectra.numerical_rank, spectra.stable_rank, spectra.entropy_rank):
        assert of(score, identity) == pytest.approx([6])


def test_the_trace_is_that_of_the_mean_gradient_and_has_no_sign() -> None:
    matrices = torch.stack([torch.diag(torch.tensor([1.0, 2.0, -7.0])), torch.ones(3, 3)])
    assert spectra.trace.function(matrices, SOURCE).tolist() == [1.0, 0.75]
    with pytest.raises(UserError, match="only square matrices have a trace"):
        spectra.trace.function(torch.ones(2, 3, 4), SOURCE)


def printed_srank(values: list[float], eta: float) -> int:
    """As 2410.15858 prints it: the smallest i, from 1, whose tail from i on is at most eta of the sum."""
    return next(i for i in range(1, len(values) + 2) if sum(values[i - 1 :]) <= eta * sum(values) + 1e-12)


def kumar_srank(values: list[float], eta: float) -> int:
    """As 2010.14498 has it: the smallest k whose head is at least 1 - eta of the sum."""
    return next(k for k in range(1, len(values) + 1) if sum(values[:k]) >= (1 - eta) * sum(values) - 1e-12)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=12), st.sampled_from([0.013, 0.0503, 0.2503]))
def test_srank_is_that_of_its_source_and_the_printed_form_is_one_more(values: list[int], eta: float) -> None:
    ordered = [float(value) for value in sorted(values, reverse=True)]
    (found,) = spectra.srank.function(torch.tensor([ordered], dtype=torch.float64), SOURCE, eta=eta).tolist()
    assert found == kumar_srank(ordered, eta)
    assert printed_srank([*ordered, 0.0], eta) == found + 1
    (scaled,) = spectra.srank.function(1e-9 * torch.tensor([ordered], dtype=torch.float64), SOURCE, eta=eta).tolist()
    assert scaled == found
