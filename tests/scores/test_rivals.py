"""Rival scores against what their definitions give, example by example and token by token."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from petlsparse.adapters.adapter import classification_head
from petlsparse.errors import UserError
from petlsparse.registry import resolve
from petlsparse.scores import SCORES
from petlsparse.scores.edge_scores import edge_scores
from petlsparse.scores.score import as_score
from petlsparse.scores.scoring_adapters import bottleneck, linear_map

from ..adapters.toys import CLASSES, WIDTH, generator, images, placed, tiny_stream

NODES = 7
LABELS = torch.tensor([1, 3, 0, 3, 2, 2])
STREAM = tiny_stream()
HEAD = classification_head(WIDTH, CLASSES, generator(5)).double()
PIXELS = images(len(LABELS))


def scored(name: str, size: int = 6, **settings: object) -> Tensor:
    def batches() -> list[tuple[Tensor, Tensor]]:
        return [(PIXELS[at : at + size], LABELS[at : at + size]) for at in range(0, len(LABELS), size)]

    score = as_score(resolve(SCORES, name, "score")).configured(**settings)
    return edge_scores({name: score}, STREAM, HEAD, batches)[name]


def examples() -> list[tuple[list[Tensor], list[Tensor]]]:
    """Of each example by itself: the stream at every node (T, d), and the gradient of its loss there."""
    found = []
    for pixels, label in zip(PIXELS, LABELS, strict=True):
        x, context = STREAM.embed(pixels[None])
        nodes = [x.detach().requires_grad_(True)]
        for j in range(1, NODES):
            nodes.append(STREAM.advance(j, nodes[-1], context))
        loss = F.cross_entropy(HEAD(STREAM.pool(nodes[-1], context)), label[None])
        gradients = torch.autograd.grad(loss, nodes)
        found.append(([node.detach()[0] for node in nodes], [gradient[0] for gradient in gradients]))
    return found


EXAMPLES = examples()


def expected(name: str, i: int, j: int) -> float:
    matrices = [x[i].T @ g[j] for x, g in EXAMPLES]
    if name == "page":
        return sum(float((matrix**2).sum()) for matrix in matrices) / len(matrices)
    if name == "fisher":
        return sum(float(torch.trace(matrix)) ** 2 for matrix in matrices) / len(matrices)
    if name == "activation-energy":
        return sum(float((x[i] ** 2).sum()) for x, _ in EXAMPLES) / len(EXAMPLES)
    if name == "activation-norm":
        return sum(float(token.norm()) for x, _ in EXAMPLES for token in x[i]) / sum(len(x[i]) for x, _ in EXAMPLES)
    if name == "normalised-gradient-norm":
        tokens, residual = torch.cat([x[i] for x, _ in EXAMPLES]), torch.cat([g[j] for _, g in EXAMPLES])
        basis = torch.linalg.qr(tokens)[0]  # more tokens than dimensions: its span is what the source can express
        return float((basis @ (basis.T @ residual)).norm()) / len(EXAMPLES) ** 0.5
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["page", "fisher", "activation-energy", "activation-norm", "normalised-gradient-norm"])
@pytest.mark.parametrize("size", [6, 2])
def test_it_is_what_its_definition_gives(name: str, size: int) -> None:
    found = scored(name, size)
    by_hand = [[expected(name, i, j) for j in range(NODES)] for i in range(NODES)]
    torch.testing.assert_close(found, torch.tensor(by_hand, dtype=torch.float64), rtol=1e-6, atol=1e-12)


def unbiased_hsic(one: Tensor, other: Tensor) -> float:
    """Song et al. 2012, equation 5, term by term."""
    m = len(one)
    k, q = one - torch.diag(one.diagonal()), other - torch.diag(other.diagonal())
    ones = torch.ones(m, dtype=one.dtype)
    terms = torch.trace(k @ q) + (ones @ k @ ones) * (ones @ q @ ones) / ((m - 1) * (m - 2))
    return float((terms - 2 / (m - 2) * (ones @ k @ q @ ones)) / (m * (m - 3)))


def test_cka_is_one_minus_the_unbiased_estimate() -> None:
    means = [torch.stack([x[i].mean(0) for x, _ in EXAMPLES]) for i in range(NODES)]
    grams = [each @ each.T for each in means]
    found = scored("cka")
    for i in range(NODES):
        for j in range(NODES):
            cka = (
                unbiased_hsic(grams[i], grams[j])
                / (unbiased_hsic(grams[i], grams[i]) * unbiased_hsic(grams[j], grams[j])) ** 0.5
            )
            assert found[i, j] == pytest.approx(max(0.0, 1 - cka), abs=1e-9)
    assert found.diagonal().abs().max() < 1e-9


def test_plop_is_large_where_a_sub_block_answers_real_inputs_less_than_noise() -> None:
    found = scored("plop")
    assert (found == found[0]).all()
    assert (found[:, 0] == 0).all()
    noise = torch.randn(6, *EXAMPLES[0][0][0].shape, generator=generator(0)).double()
    for j in range(1, NODES):
        real = torch.cat([((x[j] - x[j - 1]).norm(dim=-1) / x[j - 1].norm(dim=-1)) for x, _ in EXAMPLES]).mean()
        branch = STREAM.advance(j, noise, None) - noise
        assert found[0, j] == pytest.approx(float((branch.norm(dim=-1) / noise.norm(dim=-1)).mean() / real), rel=1e-6)


def test_synflow_looks_at_no_image() -> None:
    nodes, context = [torch.tensor(0.0)] * NODES, None
    nodes[0], context = STREAM.embed(torch.ones(1, 3, 4, 4, dtype=torch.float64))
    nodes[0].requires_grad_(True)
    for j in range(1, NODES):
        nodes[j] = STREAM.advance(j, nodes[j - 1], context)
    gradients = torch.autograd.grad(HEAD(STREAM.pool(nodes[-1], context)).abs().sum(), nodes)
    found = scored("synflow")
    for i in range(NODES):
        for j in range(NODES):
            assert found[i, j] == pytest.approx(float((nodes[i].detach()[0].T @ gradients[j][0]).abs().sum()), rel=1e-6)


def test_random_scores_are_the_same_everywhere_and_differ_by_seed() -> None:
    assert scored("random")[1, 2] == scored("random")[1, 2]
    assert len(set(scored("random").flatten().tolist())) == NODES**2
    assert not torch.equal(scored("random"), scored("random", seed=1))
    assert 0.3 < scored("random").mean() < 0.7


@pytest.mark.parametrize("name", list(SCORES))
def test_no_score_is_negative(name: str) -> None:
    found = scored(name)
    assert found.shape == (NODES, NODES)
    assert found.dtype == torch.float64
    assert found.min() >= 0


def test_what_normalises_the_linear_map_refuses_others() -> None:
    adapter = placed([(0, 1)], stream=STREAM).adapters["0->1"]
    score = as_score(resolve(SCORES, "normalised-gradient-norm", "score"))
    with pytest.raises(UserError, match="scoring_gradient"):
        edge_scores({"n": score}, STREAM, HEAD, lambda: [(PIXELS, LABELS)], adapter=bottleneck(lambda _: adapter))


def test_a_plain_function_is_a_mean_over_images() -> None:
    found = edge_scores(
        {"mine": as_score(lambda nodes, source: nodes.gradients.abs().sum((1, 2, 3)))},
        STREAM,
        HEAD,
        lambda: [(PIXELS[:4], LABELS[:4]), (PIXELS[4:], LABELS[4:])],
        adapter=linear_map,
    )["mine"]
    by_hand = torch.stack([sum(g[j].abs().sum() for _, g in EXAMPLES) / 6 for j in range(NODES)])
    torch.testing.assert_close(found, by_hand.expand(NODES, NODES))
