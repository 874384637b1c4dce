"""What does it save to train many sparse networks as one? Whole training steps, a topology update among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from benchmarks.harness import Comparison, Effort, compare_on
from benchmarks.mlp import MEAN, SHAPE, STD, Variant, method_of, optimizer
from benchmarks.trainings import Trained, as_one, called, contestants, endless, here, noise
from petlsparse.cohorts.models import Stack
from petlsparse.cohorts.sparse import SparseCohort
from petlsparse.data.augment import crop_flip
from petlsparse.networks import build_network
from petlsparse.training.arithmetic import reference_arithmetic
from petlsparse.training.loaders import Images
from petlsparse.training.loop import Loop
from petlsparse.training.member import Member
from petlsparse.training.method import Method
from petlsparse.training.seeding import seeded

STEPS = 100
"""Per measurement, and between topology updates: each measurement has one."""
EXAMPLES = 45_000
RUN = 35_200
"""Steps of a run of arXiv 2306.12230: 100 epochs of CIFAR-10 at batch 128."""
SEEDS = 5
VARIANTS = (
    Variant(),
    Variant(0.1),
    *(Variant(density, update_period=STEPS) for density in (0.5, 0.2, 0.05)),
    *(Variant(density, criterion="snip", growth="random", update_period=STEPS) for density in (0.5, 0.2, 0.05)),
)
"""Dense, static, and two ways of dynamic sparse training: the mixture of methods that a study has."""


@dataclass(frozen=True)
class Net:
    """A network, its data and how many of it are trained as one."""

    name: str
    shape: tuple[int, int, int]
    classes: int
    batch: int
    sizes: tuple[int, ...]
    widths: tuple[int, ...] | None = None

    def build(self, seed: int) -> nn.Module:
        """With initial weights of this seed."""
        with seeded(seed, "init"):
            return build_network(self.name, self.shape, self.classes, widths=self.widths)

    def __str__(self) -> str:
        inputs = self.shape[0] * self.shape[1] * self.shape[2]
        layers = "-".join(map(str, (inputs, *(self.widths or ()), self.classes)))
        return f"MLP {layers}" if self.widths else self.name


ON_CPU = (
    *(Net("mlp", (1, 8, 8), 10, batch, (1, 8, 32), widths=(40, 20)) for batch in (32, 128)),
    Net("mlp", (1, 1, 24), 2, 32, (1, 8, 32), widths=(256, 256)),
    Net("mlp", (1, 8, 8), 10, 128, (1, 8, 32), widths=(200, 100)),
    Net("mlp", (1, 1, 24), 2, 128, (1, 8, 32), widths=(256, 256)),
    Net("mlp", (1, 28, 28), 10, 128, (1, 8, 32), widths=(300, 100)),
)
"""By weights times batch."""
ON_CUDA = (
    Net("mlp", SHAPE, 10, 128, (1, 8, 64, 256), widths=(1024, 512)),
    Net("lenet5", (1, 28, 28), 10, 128, (1, 16, 64)),
)
QUICK = (Net("mlp", (1, 8, 8), 10, 32, (1, 8), widths=(40, 20)),)


def run(effort: Effort) -> Iterator[Comparison]:
    """One table per network and batch size."""
    device = here()
    for net in QUICK if effort.quick else ON_CUDA if device.type == "cuda" else ON_CPU:
        with reference_arithmetic(deterministic=True):
            measured = table(net, device, effort)
        yield measured


def table(net: Net, device: torch.device, effort: Effort) -> Comparison:
    """All sizes of a cohort against one run after another."""
    steps, count, channels = (5, 1_000, net.shape[0]) if effort.quick else (STEPS, EXAMPLES, net.shape[0])
    augment = crop_flip if net.shape == SHAPE else None
    loader = Images(noise(net.shape, net.classes, count).to(device), MEAN[:channels], STD[:channels], augment)
    build = partial(trainings, net, loader, device, steps)
    builders: dict[str, Callable[[], Sequence[Trained]]] = {"one at a time": partial(build, len(VARIANTS))}
    builders |= {f"{size} as one": partial(cohorts, build, size) for size in net.sizes}
    found, notes = contestants(builders, steps)
    weights = sum(parameter.numel() for parameter in net.build(0).parameters())
    measured = compare_on(device)(
        f"a step of one run of {net}, batch {net.batch}, on {called(device)}",
        found,
        rounds=effort.at_most(7),
        notes=[
            f"{weights:,} weights, times batch {weights * net.batch / 1e6:.2f} million; {SEEDS} seeds, "
            f"{len(VARIANTS)} methods, a topology update every {steps} steps" + ("; crop and flip" if augment else ""),
            *notes,
        ],
    )
    rates = [f"{name} {3600 / (RUN * measured.summary(name).median):,.0f}" for name in measured.samples]
    return replace(measured, notes=[*measured.notes, f"runs of {RUN:,} steps in an hour: {', '.join(rates)}"])


def trainings(net: Net, loader: Images, device: torch.device, update_period: int, count: int) -> list[Member]:
    """The first runs of a study: methods and seeds take turns."""
    return [training(net, loader, device, VARIANTS[i % len(VARIANTS)], i % SEEDS, update_period) for i in range(count)]


def training(net: Net, loader: Images, device: torch.device, variant: Variant, seed: int, update_period: int) -> Member:
    """One run."""
    if variant.update_period is not None:
        variant = replace(variant, update_period=update_period)
    method = method_of(net.build(seed).to(device), variant, seed)
    return endless(method, loader, optimizer(method.parameters()), batch_size=net.batch, seed=seed, device=device)


def cohorts(build: Callable[[int], Sequence[Member]], size: int) -> list[Loop]:
    """Cohorts of a size, as many as it takes for every method to take part."""
    runs = build(max(size, len(VARIANTS)))
    return [as_one(runs[i : i + size], method=sparse_as_one) for i in range(0, len(runs), size)]


def sparse_as_one(methods: Sequence[Method], stack: Stack) -> SparseCohort:
    """As the study does."""
    return SparseCohort(methods, stack.parameters)
