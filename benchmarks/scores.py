"""What do the gradients of all adapters of a ViT-B/16 cost beside a forward and a backward pass, and their spectra?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.command import peak_bytes
from benchmarks.harness import Comparison, Contestant, Effort, compare_on, matmul
from benchmarks.trainings import called, here
from petlsparse.adapters.adapter import Adapter, classification_head
from petlsparse.analysis.score_maps import rank_correlation
from petlsparse.backbones import load_backbone
from petlsparse.backbones.stream import ResidualStream
from petlsparse.scores.edge_scores import edge_scores
from petlsparse.scores.frozen_pass import ScoringAdapter
from petlsparse.scores.score import Score, gradient_matrices
from petlsparse.scores.scoring_adapters import bottleneck, linear_map, sketch_of_linear_map
from petlsparse.scores.spectra import by_decomposition, by_gram_matrices, srank
from petlsparse.training.arithmetic import reference_arithmetic

CLASSES, RANK = 100, 8


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    backbone: str
    pixels: int
    images: int
    batch: int
    sketch: int


FULL = Size("vit_base_patch16_224", 224, images=16, batch=8, sketch=128)
TINY = Size("vit_tiny_patch16_224", 32, images=4, batch=2, sketch=32)

norm = Score(lambda gradients, _: gradients.flatten(1).norm(dim=1), (gradient_matrices,))
"""A score that takes next to no time beyond the gradients."""


def run(effort: Effort) -> Iterator[Comparison]:
    """Gradients, then spectra, then what a sketch loses."""
    size, device = TINY if effort.quick else FULL, here()
    with reference_arithmetic(deterministic=True):
        stream = load_backbone(size.backbone, pretrained=False, image_size=size.pixels).to(device)
        yield gradients(size, stream, effort, device)
        yield spectra(stream.width, size.sketch, effort, device)
        yield sketched(size, stream, effort, device)


def gradients(size: Size, stream: ResidualStream, effort: Effort, device: torch.device) -> Comparison:
    """Times of one image."""
    head, images, labels = task(size, stream, device)

    def plain() -> None:
        for at in range(0, size.images, size.batch):
            x, context = stream.embed(images[at : at + size.batch])
            x.requires_grad_(True)
            node = x
            for j in range(1, stream.nodes):
                node = stream.advance(j, node, context)
            loss = F.cross_entropy(head(stream.pool(node, context)), labels[at : at + size.batch], reduction="sum")
            torch.autograd.grad(loss, x)

    adapters: dict[str, ScoringAdapter] = {
        "and the gradients of all linear maps": linear_map,
        f"and of all bottlenecks of rank {RANK}": bottleneck(lambda _: fresh(stream.width).to(device)),
        f"and of all linear maps as sketches of {size.sketch}": sketch(size, stream),
    }
    scorers = {
        name: partial(scored, {"norm": norm}, size, stream, head, images, labels, adapter)
        for name, adapter in adapters.items()
    }
    measured = compare_on(device)(
        f"one image of {stream.nodes**2} edges, {size.backbone}, {size.pixels} px, batch {size.batch}, "
        f"on {called(device)}",
        [
            Contestant("a forward and a backward pass", plain, parts=size.images),
            *(Contestant(name, scorer, parts=size.images) for name, scorer in scorers.items()),
        ],
        rounds=effort.at_most(3),
        roof=matmul(size.batch * 197, stream.width, stream.width, device=device),
    )
    memory = f"peak memory of the process {peak_bytes() / 2**30:.2f} GiB"
    return replace(measured, notes=[*measured.notes, "backward to the stream at its first node, no weights", memory])


def spectra(width: int, sketch_size: int, effort: Effort, device: torch.device) -> Comparison:
    """Times of one matrix, correlated as gradients are."""
    drawn = torch.Generator().manual_seed(0)
    matrices = torch.randn(4, width, width, generator=drawn) @ torch.randn(width, width, generator=drawn)
    matrices = matrices.to(device)
    small = matrices[:, :sketch_size, :sketch_size].contiguous()
    return compare_on(device)(
        f"singular values of a matrix {width} x {width}, on {called(device)}",
        [
            Contestant("decomposition in float32", lambda: by_decomposition(matrices), parts=len(matrices)),
            Contestant("Gram matrix in float64", lambda: by_gram_matrices(matrices), parts=len(matrices)),
            Contestant(f"of a sketch, {sketch_size}", lambda: by_gram_matrices(small), parts=len(matrices)),
        ],
        rounds=effort.at_most(9),
    )


def sketched(size: Size, stream: ResidualStream, effort: Effort, device: torch.device) -> Comparison:
    """Whole maps by srank, once; the notes say how far apart they are."""
    head, images, labels = task(size, stream, device)
    found: dict[str, Tensor] = {}
    adapters = {"whole gradients": linear_map, f"sketches of {size.sketch}": sketch(size, stream)}

    def scorer(name: str) -> Callable[[], None]:
        def call() -> None:
            found[name] = scored({"srank": srank}, size, stream, head, images, labels, adapters[name])["srank"]

        return call

    measured = compare_on(device)(
        f"a map by srank from {size.images} images, {size.backbone}, on {called(device)}",
        [Contestant(name, scorer(name)) for name in adapters],
        rounds=1,
        warm=False,
    )
    whole, approximate = (values.flatten() for values in found.values())
    correlation = rank_correlation(whole.tolist(), approximate.tolist())
    error = ((approximate - whole).abs() / whole.clamp_min(1)).median()
    note = (
        f"of the sketches: rank correlation with the whole map {correlation:.3f}, median error of the rank "
        f"{100 * float(error):.0f} % (ranks {int(whole.min())} to {int(whole.max())})"
    )
    return replace(measured, notes=[*measured.notes, note])


def task(size: Size, stream: ResidualStream, device: torch.device) -> tuple[nn.Linear, Tensor, Tensor]:
    """A head, images of noise and labels."""
    drawn = torch.Generator().manual_seed(0)
    head = classification_head(stream.width, CLASSES, drawn).to(device).requires_grad_(False)
    images = torch.randn(size.images, 3, size.pixels, size.pixels, generator=drawn)
    return head, images.to(device), torch.randint(CLASSES, (size.images,), generator=drawn).to(device)


def scored(
    scores: dict[str, Score],
    size: Size,
    stream: ResidualStream,
    head: nn.Linear,
    images: Tensor,
    labels: Tensor,
    adapter: ScoringAdapter,
) -> dict[str, Tensor]:
    """Maps of all edges."""
    parts = range(0, size.images, size.batch)
    return edge_scores(
        scores,
        stream,
        head,
        lambda: ((images[at : at + size.batch], labels[at : at + size.batch]) for at in parts),
        adapter=adapter,
    )


def sketch(size: Size, stream: ResidualStream) -> ScoringAdapter:
    """Of the size in question."""
    return sketch_of_linear_map(stream.width, size.sketch, torch.Generator().manual_seed(0))


def fresh(width: int) -> Adapter:
    """An adapter; all edges have the same initial weights here."""
    return Adapter(width, RANK, generator=torch.Generator().manual_seed(0))
