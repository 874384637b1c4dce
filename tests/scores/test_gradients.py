"""All gradients from one forward and backward pass: those of real adapters, edge by edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from petlsparse.adapters.adapter import classification_head
from petlsparse.adapters.edges import Edge, edge_space
from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import UserError
from petlsparse.scores.edge_scores import edge_scores
from petlsparse.scores.frozen_pass import FrozenPass, ScoringAdapter
from petlsparse.scores.score import Score, gradient_matrices
from petlsparse.scores.scoring_adapters import bottleneck, linear_map, sketch_of_linear_map
from petlsparse.scores.spectra import frobenius_norm, srank

from ..adapters.toys import CLASSES, WIDTH, generator, images, placed, tiny_stream

NODES = 7
LABELS = torch.tensor([1, 3, 0, 3])


@pytest.fixture(scope="module")
def stream() -> ResidualStream:
    return tiny_stream().double()


@pytest.fixture(scope="module")
def head() -> torch.nn.Linear:
    return classification_head(WIDTH, CLASSES, generator(5)).double()


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return images(len(LABELS)).double()


@pytest.fixture(scope="module")
def nodes(stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor) -> FrozenPass:
    return FrozenPass(stream, head, pixels, LABELS, adapter=linear_map)


def logits_with(
    stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor, edge: Edge, adapter: Callable[[Tensor], Tensor]
) -> Tensor:
    """Two whole passes with one adapter, as the paper has them."""
    embedded, context = stream.embed(pixels)
    base = [embedded]
    for j in range(1, NODES):
        base.append(stream.advance(j, base[-1], context))
    main: list[Tensor] = []
    for j in range(NODES):
        x = embedded if j == 0 else stream.advance(j, main[-1], context)
        if j == edge.target:
            read = base[edge.source].detach() if edge.source > j else x if edge.source == j else main[edge.source]
            x = x + adapter(read)
        main.append(x)
    return head(stream.pool(main[-1], context))


@pytest.mark.parametrize("edge", edge_space(NODES), ids=str)
def test_the_gradient_of_a_linear_map_of_zeros_on_any_edge(
    stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor, nodes: FrozenPass, edge: Edge
) -> None:
    weight = torch.zeros(WIDTH, WIDTH, dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(logits_with(stream, head, pixels, edge, lambda x: x @ weight), LABELS, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.abs().max() > 1e-6
    torch.testing.assert_close(gradient_matrices(nodes, edge.source)[edge.target], gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("edge", [Edge(0, 3), Edge(2, 2), Edge(3, 4), Edge(6, 1)], ids=str)
def test_finite_differences_agree(
    stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor, nodes: FrozenPass, edge: Edge
) -> None:
    direction = torch.randn(WIDTH, WIDTH, generator=generator(3), dtype=torch.float64)

    def loss(step: float) -> Tensor:
        logits = logits_with(stream, head, pixels, edge, lambda x: x @ (step * direction))
        return F.cross_entropy(logits, LABELS, reduction="sum")

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    expected = (gradient_matrices(nodes, edge.source)[edge.target] * direction).sum()
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("edge", [Edge(0, 0), Edge(1, 2), Edge(0, 5), Edge(5, 2), Edge(6, 0)], ids=str)
@pytest.mark.parametrize("options", [{}, {"activation": "gelu", "scale": 0.5}, {"layer_norm": False, "bias": True}])
def test_the_gradient_of_a_bottleneck_adapter_as_it_is_trained(
    stream: ResidualStream, pixels: Tensor, edge: Edge, options: dict[str, object]
) -> None:
    model = placed([edge], stream=stream, **options).double()
    loss = F.cross_entropy(model(pixels), LABELS, reduction="sum")
    adapter = model.adapters[str(edge)]
    down, up = torch.autograd.grad(loss, [adapter.down.weight, adapter.up.weight])
    assert not down.any()
    nodes = FrozenPass(stream, model.head, pixels, LABELS, adapter=bottleneck(lambda _: adapter))
    torch.testing.assert_close(gradient_matrices(nodes, edge.source)[edge.target], up.T, rtol=0, atol=1e-10)


def test_a_sketch_is_the_gradient_between_two_projections(
    stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor, nodes: FrozenPass
) -> None:
    drawn = generator(9)
    left, right = (torch.randn(WIDTH, 6, generator=drawn).double() / 6**0.5 for _ in range(2))
    sketched = FrozenPass(stream, head, pixels, LABELS, adapter=_double(sketch_of_linear_map(WIDTH, 6, generator(9))))
    for source in range(NODES):
        whole = gradient_matrices(nodes, source)
        torch.testing.assert_close(gradient_matrices(sketched, source), left.T @ whole @ right)


def _double(adapter: ScoringAdapter) -> ScoringAdapter:
    """The same of a pass in float32, in which projections are drawn."""

    class Single:
        def __init__(self, nodes: FrozenPass) -> None:
            self.tokens, self.token_gradients = nodes.tokens.float(), nodes.token_gradients.float()

    return lambda nodes: lambda source: adapter(Single(nodes))(source).double()  # type: ignore[arg-type]


def test_a_head_of_zeros_is_refused(stream: ResidualStream, pixels: Tensor) -> None:
    head = torch.nn.Linear(WIDTH, CLASSES).double()
    torch.nn.init.zeros_(head.weight)
    with pytest.raises(UserError, match="head of zeros"):
        FrozenPass(stream, head, pixels, LABELS, adapter=linear_map)


def test_values_that_are_not_finite_are_refused(stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor) -> None:
    broken = pixels.clone()
    broken[0, 0, 0, 0] = torch.inf
    with pytest.raises(UserError, match="not finite"):
        FrozenPass(stream, head, broken, LABELS, adapter=linear_map)


def test_only_pooled_tokens_of_the_last_node_have_a_gradient(nodes: FrozenPass) -> None:
    assert not nodes.gradients[-1][:, 1:].any()
    assert nodes.gradients[-1][:, 0].any()
    assert nodes.gradients[-3][:, 1:].any()


def batches(stream: ResidualStream, pixels: Tensor, size: int) -> Callable[[], list[tuple[Tensor, Tensor]]]:
    return lambda: [(pixels[at : at + size], LABELS[at : at + size]) for at in range(0, len(LABELS), size)]


SCORES: dict[str, Score] = {"srank": srank, "frobenius": frobenius_norm}


def test_ranks_of_the_last_column_are_at_most_the_number_of_images(
    stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor
) -> None:
    found = edge_scores({"srank": srank}, stream, head, batches(stream, pixels, 4))["srank"]
    assert found[:, -1].max() <= len(LABELS)
    assert found.max() > len(LABELS)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("sources", [0, 1, 3, 7])
def test_neither_batches_nor_memory_change_a_score(
    stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor, size: int, sources: int
) -> None:
    whole = edge_scores(SCORES, stream, head, batches(stream, pixels, 4))
    memory = sources * NODES * WIDTH * WIDTH * 8
    told: list[tuple[int, int]] = []
    parts = edge_scores(
        SCORES, stream, head, batches(stream, pixels, size), memory=memory, progress=lambda *at: told.append(at)
    )
    for name in SCORES:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-9, atol=0)
    assert told == [(k + 1, NODES) for k in range(NODES)]


def test_the_loss_may_be_scaled(stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor) -> None:
    def scaled(factor: float) -> Tensor:
        nodes = FrozenPass(
            stream,
            head,
            pixels,
            LABELS,
            adapter=linear_map,
            objective=lambda logits, labels: factor * F.cross_entropy(logits, labels),
        )
        return gradient_matrices(nodes, 2)

    torch.testing.assert_close(scaled(1000.0), 1000 * scaled(1.0))


def test_scores_that_are_not_finite_are_refused(stream: ResidualStream, head: torch.nn.Linear, pixels: Tensor) -> None:
    broken = Score(lambda source: torch.full((NODES,), torch.nan))
    with pytest.raises(UserError, match="score mine is not finite for 49 of 49 edges"):
        edge_scores({"mine": broken}, stream, head, batches(stream, pixels, 4))
