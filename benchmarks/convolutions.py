"""What do truly sparse convolutions save on the CPU? Layers alone, and whole training steps of two small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness import Comparison, Contestant, Effort, compare
from benchmarks.mlp import BATCH, CLASSES, optimizer
from petlsparse.networks.convolutional import lenet5, small_conv
from petlsparse.sparsity.backends import choose_backends
from petlsparse.sparsity.calibration import layer_step, measured_crossover
from petlsparse.sparsity.csr import convertible
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.geometry import LayerGeometry, geometries
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.training.seeding import random_stream, seeded

LAYER_DENSITIES = (0.1, 0.05, 0.02, 0.01)
DENSITIES = (0.1, 0.05, 0.02)
STEPS = 3
"""Steps per measurement."""

NETWORKS: dict[str, tuple[Callable[[tuple[int, int, int], int], nn.Module], tuple[int, int, int]]] = {
    "lenet5": (lenet5, (1, 28, 28)),
    "small-conv": (small_conv, (3, 32, 32)),
}
"""Name -> what builds it, and the shape of an example."""


def run(effort: Effort) -> Iterator[Comparison]:
    """One table per convolution and density, and one per network and density."""
    batch = 8 if effort.quick else BATCH
    networks = {"lenet5": (lenet5, (1, 16, 16))} if effort.quick else NETWORKS
    for name, (build, shape) in networks.items():
        model = build(shape, CLASSES)
        for layer, geometry in geometries(model, convertible(model), shape).items():
            if geometry.image:
                yield from _layer(f"{layer} of {name}", geometry, batch, effort)
    for name, (build, shape) in networks.items():
        for density in DENSITIES[-1:] if effort.quick else DENSITIES:
            yield _whole(name, Setting(build, shape, density, batch), effort)


def _layer(name: str, geometry: LayerGeometry, batch: int, effort: Effort) -> Iterator[Comparison]:
    for density in LAYER_DENSITIES[-1:] if effort.quick else LAYER_DENSITIES:
        ways = {"masked": layer_step(geometry, batch, None), "csr": layer_step(geometry, batch, density)}
        yield compare(
            f"a training step of {name} alone ({geometry}), batch {batch}, density {density:.0%}",
            [Contestant(way, step) for way, step in ways.items()],
            rounds=effort.rounds,
            notes=["sparse indices are at hand, as between two topology updates; layouts are each one's own"],
        )


class Setting(NamedTuple):
    """What is trained."""

    build: Callable[[tuple[int, int, int], int], nn.Module]
    shape: tuple[int, int, int]
    density: float
    batch: int


def _whole(name: str, setting: Setting, effort: Effort) -> Comparison:
    trainings = {requested: InTraining(setting, requested) for requested in ("masked", "auto", "csr")}
    densities = ", ".join(f"{layer} {share:.1%}" for layer, share in trainings["masked"].densities.items())
    chosen = {way: ", ".join(trained.sparse) or "none" for way, trained in trainings.items() if way != "masked"}
    size = "x".join(map(str, setting.shape))
    return compare(
        f"{STEPS} training steps of {name} on {size}, batch {setting.batch}, ERK density {setting.density:.0%}",
        [Contestant(way, trained.steps) for way, trained in trainings.items()],
        rounds=effort.rounds,
        notes=[f"densities: {densities}", *(f"truly sparse with {way}: {layers}" for way, layers in chosen.items())],
    )


class InTraining:
    """A network in training, static masks, always on the same batch of noise."""

    def __init__(self, setting: Setting, requested: Literal["masked", "auto", "csr"]) -> None:
        with seeded(0, "init"):
            model = setting.build(setting.shape, CLASSES)
        shapes = {name: tuple(weight.shape) for name, weight in maskable(model).items()}
        sizes = {name: weight.numel() for name, weight in maskable(model).items()}
        counts = layer_counts(shapes, setting.density, "erk")
        backends = choose_backends(
            requested,
            shapes,
            counts,
            geometries=geometries(model, convertible(model), setting.shape),
            crossover=partial(_crossover, batch_size=setting.batch),
        )
        self.sparse = [name for name, backend in backends.items() if backend == "csr"]
        self.densities: Mapping[str, float] = {name: counts[name] / sizes[name] for name in sizes}
        self.method = SparseTraining(model, counts, mask_generator=random_stream(0, "masks"), backends=backends)
        self.optimizer = optimizer(self.method.parameters())
        self.method.bind(self.optimizer)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(setting.batch, *setting.shape, generator=generator)
        self.labels = torch.randint(CLASSES, (setting.batch,), generator=generator)

    def steps(self) -> None:
        """Forward, backward, fused momentum SGD, masks."""
        for _ in range(STEPS):
            self.optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(self.method.model(self.images), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.method.after_backward(1)
            self.optimizer.step()
            self.method.after_step(1)


@cache
def _crossover(geometry: LayerGeometry, *, batch_size: int) -> float:
    """Measured once for all comparisons, as it is once on a machine."""
    return measured_crossover(geometry, batch_size)
