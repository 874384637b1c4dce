"""Scores of an adapter's gradient, averaged over images, most of them by its singular values (arXiv 2410.15858, 3.2).

The paper scores by `srank`, and says without figures that common norms were tried too. Gradients are summed: a factor
changes no rank, and norms are divided by the number of images.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from petlsparse.errors import Problem, UserError
from petlsparse.scores.score import Reduced, Score, Source, gradient_matrices
from petlsparse.settings import ProperFraction

if TYPE_CHECKING:
    from torch import Tensor

TINY = sys.float_info.min
"""What is divided by instead of zero: of a matrix of zeros every score is 0."""

SMALL = 80
"""Square matrices of fewer rows are decomposed in float32 (one thread of a CPU, ms, against the other way: 64 x 64 0.29
and 0.38; 64 x 768 2.6 and 0.7; 768 x 768 154 and 107)."""


def singular_values(matrices: Tensor) -> Tensor:
    """Of matrices (n, a, b), descending, float64 (n, min(a, b)); by decomposition or by Gram matrices, as is faster.

    Both are accurate to about 1e-7 of the largest.
    """
    rows, columns = matrices.shape[-2:]
    by = by_decomposition if rows == columns < SMALL else by_gram_matrices
    return by(matrices if rows <= columns else matrices.transpose(-1, -2))


def by_decomposition(matrices: Tensor) -> Tensor:
    """`singular_values` in float32."""
    import torch

    found: Tensor = torch.linalg.svdvals(matrices.float())
    return found.double()


def by_gram_matrices(matrices: Tensor) -> Tensor:
    """`singular_values` of matrices A that are not taller than wide: square roots of the eigenvalues of A A^T.

    In float64: in float32 small ones would be wrong by some 1e-4 of the largest.
    """
    import torch

    values = matrices.double()
    squares: Tensor = torch.linalg.eigvalsh(values @ values.transpose(-1, -2))
    return squares.clamp_min(0).sqrt().flip(-1)


of_spectrum = partial(Score, measures=(Reduced(gradient_matrices, singular_values),))


@of_spectrum
def srank(values: Tensor, source: Source, *, eta: ProperFraction = 0.01) -> Tensor:
    """How many of the largest singular values make up 1 - eta of their sum (2010.14498; the score of 2410.15858).

    The paper prints this number plus one, as its tail begins at the value itself; the order of edges is the same.

    Args:
        values: singular values (n, k).
        source: not looked at.
        eta: the share that is left (0.01 in the name of a figure of the paper only).
    """
    reached = values.cumsum(-1) / values.sum(-1, keepdim=True).clamp_min(TINY)
    return (((reached < 1 - eta).sum(-1) + 1) * (values[:, 0] > 0)).double()


@of_spectrum
def numerical_rank(values: Tensor, source: Source, *, tolerance: ProperFraction = 1e-4) -> Tensor:
    """How many singular values exceed a fraction of the largest.

    Args:
        values: singular values (n, k).
        source: not looked at.
        tolerance: that fraction (own choice; float32 sums are no more exact than 1e-6).
    """
    return (values > tolerance * values[:, :1]).sum(-1).double()


@of_spectrum
def stable_rank(values: Tensor, source: Source) -> Tensor:
    """Squared Frobenius norm over squared spectral norm; 0 of a matrix of zeros."""
    squares = values**2
    return squares.sum(-1) / squares[:, 0].clamp_min(TINY)


@of_spectrum
def entropy_rank(values: Tensor, source: Source) -> Tensor:
    """Effective rank: e to the entropy of singular values divided by their sum (Roy and Vetterli, 2007)."""
    shares = values / values.sum(-1, keepdim=True).clamp_min(TINY)
    entropy = -(shares * shares.clamp_min(TINY).log()).sum(-1)
    return entropy.exp() * (values[:, 0] > 0)


@of_spectrum
def frobenius_norm(values: Tensor, source: Source) -> Tensor:
    """The root of the sum of squares of the mean gradient."""
    return values.square().sum(-1).sqrt() / source.images


@of_spectrum
def nuclear_norm(values: Tensor, source: Source) -> Tensor:
    """The sum of singular values of the mean gradient."""
    return values.sum(-1) / source.images


@of_spectrum
def spectral_norm(values: Tensor, source: Source) -> Tensor:
    """The largest singular value of the mean gradient."""
    return values[:, 0] / source.images


@partial(Score, measures=(gradient_matrices,))
def trace(gradients: Tensor, source: Source) -> Tensor:
    """The magnitude of the trace of the mean gradient, which is that of the gradient of a scaled identity map.

    Raises UserError where gradients are not square, as those of bottleneck adapters.
    """
    if gradients.shape[-2] != gradients.shape[-1]:
        message = "only square matrices have a trace, and gradients of bottleneck adapters are not: use another score"
        raise UserError(Problem(message, "method.score", "trace"))
    return gradients.diagonal(dim1=-2, dim2=-1).sum(-1).abs().double() / source.images
