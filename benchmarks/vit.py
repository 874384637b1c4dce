"""How many images a second does adapter training see on a ViT-B/16, and what do a cache and training as one save?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import torch
from torch import nn

from benchmarks.adapters import CLASSES, placed
from benchmarks.harness import Comparison, Contestant, Effort, compare_on, matmul
from benchmarks.trainings import Trained, as_one, called, contestants, endless, here, noise
from petlsparse.adapters.edges import edge_space
from petlsparse.adapters.models import PlacedAdapters, frozen_features, needed_features
from petlsparse.adapters.placements import select_edges
from petlsparse.backbones import load_backbone
from petlsparse.cohorts.placements import StackedPlacements
from petlsparse.training.arithmetic import reference_arithmetic
from petlsparse.training.loaders import CachedFeatures, Images, Loader
from petlsparse.training.member import Member
from petlsparse.training.method import StandardTraining
from petlsparse.training.optimizers import adam

BATCHES = 8
"""Batches that the examples make."""
STEPS = 8
"""Per measurement."""
LATE = 8
"""Adapters of a placement in the last third."""
Edges = Iterable[tuple[int, int]]
Precision = Literal["bf16", "float32"]
PRECISIONS: tuple[Precision, ...] = ("bf16", "float32")


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    backbone: str
    pixels: int
    batch: int
    placements: int
    roof: int
    """Side of the product that everything is held against."""


FULL = Size("vit_base_patch16_224", 224, batch=64, placements=8, roof=8192)
TINY = Size("vit_tiny_patch16_224", 32, batch=2, placements=3, roof=64)


def run(effort: Effort) -> Iterator[Comparison]:
    """From images, then from cached values of the frozen network; in bf16, then in float32."""
    device = here()
    size = FULL if device.type == "cuda" and not effort.quick else TINY
    for precision in PRECISIONS:
        with reference_arithmetic(deterministic=True):
            bench = Bench(size, device, effort, precision)
        for table in (bench.from_images, bench.from_cached_values):
            with reference_arithmetic(deterministic=True):
                measured = table()
            yield measured


class Bench:
    """One backbone and one set of images for all contestants."""

    def __init__(self, size: Size, device: torch.device, effort: Effort, precision: Precision) -> None:
        self.size, self.device, self.effort, self.precision = size, device, effort, precision
        self.stream = load_backbone(size.backbone, pretrained=False, image_size=size.pixels).to(device)
        images = noise((3, size.pixels, size.pixels), CLASSES, size.batch * BATCHES).to(device)
        self.images = Images(images, self.stream.mean, self.stream.std)

    def from_images(self) -> Comparison:
        """The usual placement, and random ones with as many adapters."""
        nodes = self.stream.nodes
        usual = select_edges("all-parallel", nodes)
        draws = [
            select_edges("random", nodes, count=len(usual), edge_kind="any", seed=draw)
            for draw in range(self.size.placements)
        ]
        builders: dict[str, Callable[[], Sequence[Trained]]] = {
            "all-parallel": partial(self.alone, [usual], self.from_images_of),
            **self.as_one("random placements", draws, self.from_images_of),
        }
        return self.compare(f"from images, {len(usual)} adapters", builders)

    def from_cached_values(self) -> Comparison:
        """Placements in the last third, whose frozen features are there before the first step."""
        last = self.stream.nodes - 1
        late = [edge for edge in edge_space(last + 1) if 2 * last // 3 <= edge.source <= edge.target]
        draws = [random.Random(draw).sample(late, LATE) for draw in range(self.size.placements)]
        values = self.cached([self.placed(edges) for edges in draws])

        def loader(models: Sequence[PlacedAdapters]) -> Loader:
            return CachedFeatures({node: values[node] for node in needed_features(models)[0]}, self.images.labels)

        what = "placements in the last third"
        builders: dict[str, Callable[[], Sequence[Trained]]] = {
            f"{len(draws)} {what}, one at a time, from images": partial(self.alone, draws, self.from_images_of),
            **self.as_one(what, draws, loader),
        }
        return self.compare(f"from cached frozen features, {LATE} adapters", builders)

    def compare(self, what: str, builders: Mapping[str, Callable[[], Sequence[Trained]]]) -> Comparison:
        """Times of one image of one run, beside the roof of bf16."""
        size, device = self.size, self.device
        found, notes = contestants(builders, STEPS, examples=size.batch, count=True)
        measured = compare_on(device)(
            f"training on one image, {what}, {size.backbone}, {size.pixels} px, batch {size.batch}, "
            f"{self.precision}, on {called(device)}",
            found,
            rounds=self.effort.at_most(9),
            roof=self.roof(),
            notes=["AdamW, rank 8, random weights; cached values are float32 in the device's memory", *notes],
        )
        rates = [f"{one.name} {1 / measured.summary(one.name).median:,.0f}" for one in found]
        small = ["not on ViT-B/16: only to see that it runs"] if size is TINY else []
        return replace(measured, notes=[*small, *measured.notes, f"images per second: {', '.join(rates)}"])

    def roof(self) -> Contestant:
        """A product that is large enough to show what the device can do."""
        side = self.size.roof
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return matmul(side, side, side, dtype=dtype, device=self.device)

    def as_one(
        self, what: str, placements: Sequence[Edges], loader: Callable[[Sequence[PlacedAdapters]], Loader]
    ) -> dict[str, Callable[[], Sequence[Trained]]]:
        """Two contestants: placements one at a time and as one."""
        return {
            f"{len(placements)} {what}, one at a time": partial(self.alone, placements, loader),
            f"{len(placements)} {what}, as one": partial(self.cohort, placements, loader),
        }

    def alone(self, placements: Sequence[Edges], loader: Callable[[Sequence[PlacedAdapters]], Loader]) -> list[Member]:
        """Each by itself."""
        models = [self.placed(edges) for edges in placements]
        return [self.training(model, loader([model])) for model in models]

    def cohort(
        self, placements: Sequence[Edges], loader: Callable[[Sequence[PlacedAdapters]], Loader]
    ) -> list[Trained]:
        """All as one, with one loader."""
        models = [self.placed(edges) for edges in placements]
        shared = loader(models)
        return [as_one([self.training(model, shared) for model in models], stack=stacked)]

    def training(self, model: PlacedAdapters, loader: Loader) -> Member:
        """As the study trains it."""
        method = StandardTraining(model)
        optimizer = adam(
            method.parameters(), lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2, kind=torch.optim.AdamW
        )
        return endless(
            method, loader, optimizer, batch_size=self.size.batch, device=self.device, precision=self.precision
        )

    def placed(self, edges: Edges) -> PlacedAdapters:
        """Adapters over the common backbone."""
        return placed(self.stream, edges).to(self.device)

    def from_images_of(self, models: Sequence[PlacedAdapters]) -> Loader:
        """The images, whoever asks."""
        return self.images

    def cached(self, models: Sequence[PlacedAdapters]) -> dict[int, torch.Tensor]:
        """All frozen features of all images that any of the models needs."""
        nodes, pooled = needed_features(models)
        batches = [
            frozen_features(self.stream, self.images.batch(part), nodes, pooled=pooled)
            for part in torch.arange(len(self.images.labels)).split(self.size.batch)
        ]
        return {node: torch.cat([batch[node] for batch in batches]) for node in nodes}


def stacked(models: Sequence[nn.Module]) -> StackedPlacements:
    """As the study does."""
    return StackedPlacements(cast("Sequence[PlacedAdapters]", models))
