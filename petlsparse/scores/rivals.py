"""Other scores of places for adapters, each as near to its source as edges of a residual stream allow.

Most of their sources are known from abstracts only, or speak of matrices inside a block: what is said of an edge here
is our reading. All are at least 0, and larger where an adapter promises more.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from petlsparse.adapters.edges import Edge
from petlsparse.errors import Problem, UserError
from petlsparse.scores.score import Score, Source, gradient_matrices
from petlsparse.scores.spectra import TINY
from petlsparse.settings import Index

if TYPE_CHECKING:
    from torch import Tensor

    from petlsparse.scores.frozen_pass import FrozenPass

NEGLIGIBLE = 1e-6
"""Of the largest eigenvalue: smaller ones count as zero where a covariance is inverted."""


def _grams(values: Tensor) -> Tensor:
    """Products of all tokens of an example with each other, (n, B, T * T), of (n, B, T, d)."""
    return (values @ values.transpose(-1, -2)).flatten(2)


def _value_grams(nodes: FrozenPass) -> Tensor:
    return _grams(nodes.values)


def _gradient_grams(nodes: FrozenPass) -> Tensor:
    return _grams(nodes.gradients)


def _squared_norms(nodes: FrozenPass, source: int) -> Tensor:
    """Of the gradient of each example, summed, (n,): ||x^T g||^2 = <x x^T, g g^T>, without the (d, d) product."""
    return (nodes.once(_value_grams)[source] * nodes.once(_gradient_grams)).sum((1, 2))


@partial(Score, measures=(_squared_norms,))
def page(squares: Tensor, source: Source) -> Tensor:
    """Energy of the adapter's gradient, the trace of its empirical Fisher matrix (PAGE, 2605.06183; formula our own).

    The mean over examples of the squared Frobenius norm of the linear map's gradient.
    """
    return squares / source.images


def _squared_traces(nodes: FrozenPass, source: int) -> Tensor:
    return (nodes.values[source] * nodes.gradients).sum((2, 3)).square().sum(1)


@partial(Score, measures=(_squared_traces,))
def fisher(squares: Tensor, source: Source) -> Tensor:
    """Empirical Fisher information of a gate on the edge, g x_i at g = 0 (as of channels in 1801.05787)."""
    return squares / source.images


def _covariance(nodes: FrozenPass, source: int) -> Tensor:
    return nodes.tokens[source].T @ nodes.tokens[source]


@partial(Score, measures=(gradient_matrices, _covariance))
def normalised_gradient_norm(gradients: Tensor, covariance: Tensor, source: Source) -> Tensor:
    """Norm of the residual as projected onto what the source can express (Layer Card, 2602.04019): |(X'X)^-1/2 X'G|.

    The source is of squared loss; here G is the gradient of the cross-entropy at the target.

    Raises UserError unless gradients are those of the linear map.
    """
    if gradients.shape[-2:] != covariance.shape:
        message = 'normalises the gradient of the linear map: set scoring_gradient = "linear", without a sketch'
        raise UserError(Problem(message, "method.score", "normalised-gradient-norm"))
    import torch

    variances, directions = torch.linalg.eigh(covariance.double())
    kept = variances > NEGLIGIBLE * variances[-1]
    whitening = (directions[:, kept] / variances[kept].sqrt()).T
    norms: Tensor = torch.stack([torch.linalg.norm(whitening @ each.double()) for each in gradients])
    return norms / float(source.images**0.5)


@partial(Score, measures=(lambda nodes, source: nodes.values[source].square().sum(),))
def activation_energy(energy: Tensor, source: Source) -> Tensor:
    """Mean over examples of the squared norm of what is read (Layer Card, 2602.04019); the same for all targets."""
    return (energy / source.images).expand(source.stream.nodes)


@partial(Score, measures=(lambda nodes, source: nodes.values[source].norm(dim=-1).mean(-1).sum(),))
def activation_norm(norm: Tensor, source: Source) -> Tensor:
    """Mean norm of the tokens that are read (Act-LoRA); the same for all targets."""
    return (norm / source.images).expand(source.stream.nodes)


def _similarities(nodes: FrozenPass) -> Tensor:
    """Products of the examples of a batch by their mean tokens, the diagonal zero, (n, B, B)."""
    means = nodes.values.mean(2)
    products = means @ means.transpose(1, 2)
    return products - products.diagonal(dim1=1, dim2=2).diag_embed()


def _hsic(nodes: FrozenPass, source: int) -> Tensor:
    """Unbiased HSIC of source and targets, of the source and of each target with itself, (n, 3), times examples."""
    k = nodes.once(_similarities).double()
    m = k.shape[1]
    if m < 4:  # where the estimate is not defined
        return k.new_zeros(len(k), 3)
    sums, totals = k.sum(1), k.sum((1, 2))

    def with_targets(i: slice) -> Tensor:
        products = (k[i] * k).sum((1, 2)) - 2 / (m - 2) * (sums[i] * sums).sum(1)
        return (products + totals[i] * totals / ((m - 1) * (m - 2))) / (m * (m - 3))

    found = k.new_empty(len(k), 3)
    own = with_targets(slice(None))
    found[:, 0], found[:, 1], found[:, 2] = with_targets(slice(source, source + 1)), own[source], own
    return m * found


@partial(Score, measures=(_hsic,))
def cka(sums: Tensor, source: Source) -> Tensor:
    """1 - linear CKA of the two nodes: places where the network changes most (2602.05988).

    Of mean tokens, by the unbiased minibatch estimate of 2010.15327; 0 of a node with itself.
    """
    both, one, other = sums.unbind(1)
    return (1 - both / (one * other).clamp_min(TINY).sqrt()).clamp_min(0)


def _feature_norms(nodes: FrozenPass) -> Tensor:
    """|F_j(z)| / |z| of sub-block j, mean over tokens, summed over examples: of real z and of normal ones, (n, 2)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    z = torch.randn(nodes.values.shape[1:], generator=generator).to(nodes.values)
    found = nodes.values.new_zeros(len(nodes.values), 2)
    for j in range(1, len(found)):
        before, after = nodes.values[j - 1], nodes.values[j]
        found[j, 0] = ((after - before).norm(dim=-1) / before.norm(dim=-1)).mean(-1).sum()
        with torch.no_grad():
            branch = nodes.stream.advance(j, z, nodes.context) - z
        found[j, 1] = (branch.norm(dim=-1) / z.norm(dim=-1)).mean(-1).sum()
    return found


@partial(Score, measures=(lambda nodes, source: nodes.once(_feature_norms),))
def plop(norms: Tensor, source: Source) -> Tensor:
    """One over the normalised feature norm of the sub-block that leads to the target (PLoP, 2506.20629).

    PLoP places adapters where a module answers real inputs least, compared to normal noise. It speaks of types of
    modules; here of every sub-block. The same for all sources; 0 of node 0, to which no sub-block leads.
    """
    real, noise = norms.double().unbind(1)
    return noise / real.clamp_min(TINY) * (real > 0)


@Score
def synflow(source: Source) -> Tensor:
    """Without data, after SynFlow (2006.05467): sum of |dR/dW| of a linear map, R = sum of |logits| of a white image.

    SynFlow makes the network's weights positive too, which no attention or normalisation would survive; left out here.
    """
    import torch

    from petlsparse.scores.frozen_pass import FrozenPass
    from petlsparse.scores.scoring_adapters import linear_map

    stream, like = source.stream, source.head.weight
    image = like.new_ones(1, stream.channels, stream.image_size, stream.image_size)
    label = torch.zeros(1, dtype=torch.long, device=like.device)
    nodes = FrozenPass(
        stream, source.head, image, label, adapter=linear_map, objective=lambda logits, _: logits.abs().sum()
    )
    return gradient_matrices(nodes, source.node).abs().sum((1, 2))


@Score
def random(source: Source, *, seed: Index = 0) -> Tensor:
    """Uniform in 0..1 from a hash of the edge: no information, the floor of any comparison.

    Args:
        source: whose edges.
        seed: which drawing.
    """
    import torch

    nodes = source.stream.nodes
    hashes = [hashlib.sha256(f"score {seed}, {Edge(source.node, j)}".encode()).digest() for j in range(nodes)]
    return torch.tensor([int.from_bytes(each[:6], "big") / 2**48 for each in hashes], dtype=torch.float64)
