"""How do packages for sparse training compare on the same MLP, in the same run?

Install them apart from the project, since they pin what it does not (rigl-torch also imports torchvision):

    pip install --no-deps --target PEERS sparselab sparsimony rigl-torch
    python -m benchmarks peers-sparse --peers PEERS
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import Comparison, Contestant, Effort, beyond, compare, matmul
from benchmarks.mlp import (
    BACKENDS,
    BATCH,
    CLASSES,
    FULL,
    MEAN,
    STD,
    TINY,
    Variant,
    active_weights,
    method,
    network,
    optimizer,
    split,
    step_flops,
)
from petlsparse.data.augment import normalise

DENSITIES = (0.1, 0.05, 0.01)
PERIOD = 2
"""Steps between updates where updates are measured: the smallest that all peers take."""
DROP = 0.3

Step = Callable[[], None]
Build = Callable[[float, tuple[int, ...], bool], Step]
"""density, hidden widths, whether the topology is updated every PERIOD steps -> one training step"""


def run(effort: Effort) -> Iterator[Comparison]:
    """Per density: training steps with a fixed topology, then what one update adds."""
    widths = TINY if effort.quick else FULL
    for density in DENSITIES[-1:] if effort.quick else DENSITIES:
        fixed, notes = assembled(density, widths, updating=False)
        shape = f"the MLP {'-'.join(map(str, (3072, *widths, CLASSES)))}, batch {BATCH}, density {density:.0%}"
        flops = PERIOD * step_flops(Variant(density), widths)
        yield compare(
            f"{PERIOD} steps of {shape}, fixed topology",
            [Contestant(name, twice(step), flops) for name, step in fixed.items()],
            rounds=effort.rounds,
            roof=matmul(BATCH, 3072, widths[0]),
            notes=["momentum SGD on batches made before; no data pipeline", *notes],
        )
        updating, notes = assembled(density, widths, updating=True)
        both = {**fixed, **{f"{name}, updating": step for name, step in updating.items() if name in fixed}}
        steps = compare(
            f"an update of {shape}: magnitude and gradient",
            [Contestant(name, twice(step)) for name, step in both.items()],
            rounds=effort.at_most(8),
            notes=[f"{PERIOD} steps with an update less {PERIOD} without; rigl-torch skips a step's optimizer", *notes],
        )
        yield beyond(steps, {f"{name}, updating": name for name in fixed if f"{name}, updating" in both})


def twice(step: Step) -> Step:
    """One period."""

    def period() -> None:
        for _ in range(PERIOD):
            step()

    return period


def assembled(density: float, widths: tuple[int, ...], *, updating: bool) -> tuple[dict[str, Step], list[str]]:
    """Everyone who runs, after two steps to see that they do, and why the others do not."""
    steps, missing = {}, []
    for name, build in CONTESTANTS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # theirs, once each
                step = build(density, widths, updating)
                twice(step)()
        except ImportError as error:
            missing.append(f"{name}: not installed ({error})")
        except Exception as error:  # noqa: BLE001 - whatever a peer stumbles over, the others go on
            missing.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}")
        else:
            steps[name] = step
    return steps, missing


def ours(backend: str) -> Build:
    """This project, by backend."""

    def build(density: float, widths: tuple[int, ...], updating: bool) -> Step:
        sparse = method(Variant(density, backend, update_period=PERIOD if updating else None), widths)
        sgd = optimizer(sparse.parameters())
        sparse.bind(sgd)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            sparse.after_backward(done)
            sgd.step()
            sparse.after_step(done)
            sparse.rows()

        return stepper(sparse.model, sgd, advance)

    return build


def sparselab(density: float, widths: tuple[int, ...], updating: bool) -> Step:
    """Padded CSR and hand-written kernels; our counts, layer by layer, drawn at random (RigL of the package)."""
    import sparselab as package

    counts, everything = active_weights(widths, density), active_weights(widths, None)
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (fan_in, fan_out) in enumerate(pairwise((3072, *widths, CLASSES)), start=1):
        sparsity = 1 - counts[f"fc{number}"] / everything[f"fc{number}"]
        sparse = package.SparseLinear(fan_in, fan_out, sparsity=sparsity) if sparsity else nn.Linear(fan_in, fan_out)
        layers += [sparse, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    algorithm = (
        package.RigL(sparsity=1 - density, drop_fraction=DROP, update_freq=PERIOD)
        if updating
        else package.Static(sparsity=1 - density)
    )
    model.apply(algorithm)
    sgd = optimizer(list(model.parameters()))

    def advance() -> None:
        sgd.step()
        algorithm.step()

    return stepper(model, sgd, advance)


def sparsimony(density: float, widths: tuple[int, ...], updating: bool) -> Step:
    """Masks as parametrizations, ERK of the package."""
    from sparsimony.distributions.base import ERKDistribution
    from sparsimony.dst.rigl import RigL
    from sparsimony.schedulers.base import ConstantScheduler

    model = network(widths)
    sgd = optimizer(list(model.parameters()))
    period = PERIOD if updating else 10**6
    sparsifier = RigL(ConstantScheduler(DROP, 10**6, period), ERKDistribution(), sgd, sparsity=1 - density)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    sparsifier.prepare(model, [{"tensor_fqn": f"{name}.weight"} for name in names])
    if not updating:  # it gathers dense gradients until the first update, which never comes
        for name in names:
            model.get_submodule(name).parametrizations.weight[0].accumulate = False  # type: ignore[union-attr, index]

    def advance() -> None:
        sgd.step()
        sparsifier.step()

    return stepper(model, sgd, advance)


def rigl_torch(density: float, widths: tuple[int, ...], updating: bool) -> Step:
    """Masks by hooks; knows the uniform distribution only, so ERK comes in by the way it resumes."""
    from rigl_torch.RigL import RigLScheduler

    model = network(widths)
    sgd = optimizer(list(model.parameters()))
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    counts = list(active_weights(widths, density).values())
    sizes = [layer.weight.numel() for layer in layers]
    state: dict[str, Any] = {
        "S": [1 - count / size for count, size in zip(counts, sizes, strict=True)],
        "N": sizes,
        "backward_masks": [mask_of(layer.weight, count) for layer, count in zip(layers, counts, strict=True)],
        "step": 0,
        "rigl_steps": 0,
        "delta_T": PERIOD,
        "alpha": DROP,
        "T_end": 10**9,
        "static_topo": not updating,
        "sparsity_distribution": "uniform",
        "grad_accumulation_n": 1,
    }
    scheduler = RigLScheduler(model, sgd, delta=PERIOD, T_end=10**9, state_dict=state)

    def advance() -> None:
        if scheduler():
            sgd.step()

    return stepper(model, sgd, advance)


def mask_of(weight: Tensor, count: int) -> Tensor:
    """A random mask of exactly `count`."""
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[torch.randperm(weight.numel())[:count]] = True
    return mask.view_as(weight)


def stepper(model: nn.Module, sgd: torch.optim.Optimizer, advance: Step) -> Step:
    """Forward and backward on one fixed batch, then whatever a package does with the gradients."""
    data = split(BATCH)
    images = normalise(data.images, MEAN, STD)
    model.train()

    def step() -> None:
        loss = functional.cross_entropy(model(images), data.labels)
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        advance()

    return step


CONTESTANTS: dict[str, Build] = {
    **{f"petlsparse, {backend}": ours(backend) for backend in BACKENDS},
    "sparselab": sparselab,
    "sparsimony": sparsimony,
    "rigl-torch": rigl_torch,
}
"""Name -> builder; the first is the reference."""
