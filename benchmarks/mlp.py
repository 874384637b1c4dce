"""The sparse benchmarks' work: the MLP 3072-1024-512-10 of arXiv 2306.12230 on images of CIFAR's shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import Any

from torch import nn
from torch.optim import Optimizer

from benchmarks.trainings import NEVER, endless, noise
from petlsparse.data.augment import crop_flip
from petlsparse.data.types import Split
from petlsparse.networks.mlp import mlp
from petlsparse.registry import resolve
from petlsparse.sparsity import CRITERIA, GROWTHS
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.training.loaders import Augmentation, Images
from petlsparse.training.member import Member
from petlsparse.training.method import Method, StandardTraining
from petlsparse.training.optimizers import sgd
from petlsparse.training.seeding import random_stream, seeded

SHAPE = (3, 32, 32)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
CLASSES = 10
BATCH = 128
FULL = (1024, 512)
TINY = (64, 32)
CROSSOVER = 0.3
"""Layers of at least this density stay masked in every variant."""
BACKENDS = ("masked", "csr") if "backends" in signature(SparseTraining).parameters else ("masked",)


@dataclass(frozen=True)
class Variant:
    """What is trained: `density` None is dense, `backend` is how sparse layers are computed."""

    density: float | None = None
    backend: str = "masked"
    criterion: str = "magnitude"
    growth: str = "gradient"
    update_period: int | None = None

    def __str__(self) -> str:
        return "dense" if self.density is None else f"{self.backend} {self.density:.0%}"


@lru_cache(maxsize=4)
def split(count: int) -> Split:
    """Noise of CIFAR's shape."""
    return noise(SHAPE, CLASSES, count)


def network(widths: tuple[int, ...]) -> nn.Module:
    """The same initial weights for everyone."""
    with seeded(0, "init"):
        return mlp(SHAPE, CLASSES, widths=widths)


def active_weights(widths: tuple[int, ...], density: float | None) -> dict[str, int]:
    """By layer: ERK's counts, or all weights where there is no density."""
    return counts_of(network(widths), density)


def counts_of(model: nn.Module, density: float | None) -> dict[str, int]:
    """`active_weights` of any network."""
    weights = maskable(model)
    if density is None:
        return {name: weight.numel() for name, weight in weights.items()}
    return layer_counts({name: tuple(weight.shape) for name, weight in weights.items()}, density, "erk")


def method(variant: Variant, widths: tuple[int, ...]) -> Method:
    """A fresh method with a network of its own."""
    return method_of(network(widths), variant)


def method_of(model: nn.Module, variant: Variant, seed: int = 0) -> Method:
    """A fresh method of any network."""
    if variant.density is None:
        return StandardTraining(model)
    updates = None
    if variant.update_period is not None:
        updates = TopologyUpdates(
            UpdateRules(
                resolve(CRITERIA, variant.criterion, "criterion"), resolve(GROWTHS, variant.growth, "growth rule")
            ),
            generator=random_stream(seed, "growth"),
            total_steps=NEVER,
            update_period=variant.update_period,
        )
    counts, sizes = counts_of(model, variant.density), counts_of(model, None)
    sparse: dict[str, Any] = {}
    if variant.backend != "masked":
        sparse["backends"] = {
            name: variant.backend if count < CROSSOVER * sizes[name] else "masked" for name, count in counts.items()
        }
    return SparseTraining(model, counts, mask_generator=random_stream(seed, "masks"), updates=updates, **sparse)


def optimizer(parameters: list[nn.Parameter]) -> Optimizer:
    """SGD with momentum."""
    return sgd(parameters, lr=0.01, momentum=0.9, nesterov=False, weight_decay=5e-4)


def training(
    variant: Variant, widths: tuple[int, ...], *, train: Split, val: Split, augment: Augmentation | None = crop_flip
) -> Member:
    """A training without end, with validation after every epoch."""
    chosen = method(variant, widths)
    return endless(
        chosen,
        Images(train, MEAN, STD, augment),
        optimizer(chosen.parameters()),
        batch_size=BATCH,
        val=Images(val, MEAN, STD),
    )


def step_flops(variant: Variant, widths: tuple[int, ...]) -> float:
    """FLOPs that one step cannot avoid: forward, weight gradients, and input gradients but the first layer's.

    Of the active weights, whatever a backend computes besides.
    """
    active = active_weights(widths, variant.density)
    return 2.0 * BATCH * (3 * sum(active.values()) - active["fc1"])
