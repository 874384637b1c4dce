"""From which density down a layer is faster as csr than masked, on this machine: measured.

A masked step takes the same time at every density, a csr step grows linearly with it, so that two densities are enough
to tell where they meet.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlsparse.sparsity.csr import Csr
from petlsparse.sparsity.csr_conv import CsrConv2d
from petlsparse.sparsity.csr_layer import CsrLayer
from petlsparse.sparsity.csr_linear import CsrLinear
from petlsparse.sparsity.geometry import LayerGeometry
from petlsparse.sparsity.indices import indices_of
from petlsparse.sparsity.layer import SparseLayer
from petlsparse.sparsity.masked import Masked

TIMED_DENSITIES = 0.02, 0.1
"""Densities at which a csr layer is timed."""
ROUNDS = 4
BUDGET = 0.5
"""Seconds after which no further round begins."""
SAMPLE_SECONDS = 0.002
"""Steps shorter than this are repeated within a sample."""


def measured_crossover(geometry: LayerGeometry, batch_size: int) -> float:
    """The density, within [0, 1], below which csr is faster in a layer's whole step; 0 where it hardly ever is.

    A step is forward, backward, momentum SGD and mask. Takes some ten steps of a masked layer, fewer of a
    slow one; seconds for the largest convolutions.
    """
    # The clock of a thread does not count what others do meanwhile, but neither what the other threads of torch do.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    steps = [layer_step(geometry, batch_size, density) for density in (None, *TIMED_DENSITIES)]
    return intersection(*best_seconds(steps, clock))


def best_seconds(steps: Sequence[Callable[[], None]], clock: Callable[[], float]) -> list[float]:
    """The shortest time of each step, all of them measured in turns: others can make a step slower, never faster."""
    repeats, first = [], clock()
    for step in steps:
        begin = clock()
        step()  # pays for allocations, and does not count otherwise
        repeats.append(1 + int(SAMPLE_SECONDS / max(clock() - begin, 1e-6)))
    best = [float("inf")] * len(steps)
    for turn in range(ROUNDS):
        if turn and clock() - first > BUDGET:
            break
        for index, (step, repeat) in enumerate(zip(steps, repeats, strict=True)):
            begin = clock()
            for _ in range(repeat):
                step()
            best[index] = min(best[index], (clock() - begin) / repeat)
    return best


def intersection(masked: float, at_low: float, at_high: float) -> float:
    """Where a straight line through the two csr times (at `TIMED_DENSITIES`) rises to the masked time, within [0, 1].

    0 if csr is not the faster one at the lower density already: what little it gains further down is not worth it.
    """
    low, high = TIMED_DENSITIES
    if at_low >= masked:
        return 0.0
    slope = (at_high - at_low) / (high - low)
    return min(1.0, low + (masked - at_low) / slope) if slope > 0 else 1.0


def layer_step(geometry: LayerGeometry, batch_size: int, density: float | None) -> Callable[[], None]:
    """A training step of a layer alone: csr at a density, masked without one.

    Either is among its like: given input and output gradient in the order in memory that it works in itself. But what
    a network is given comes example by example.
    """
    # Nothing draws from torch's global generator: a run's random numbers must not depend on what was measured.
    mask = torch.rand(geometry.weight, generator=torch.Generator().manual_seed(0)) < (density or 0.5)
    weight, bias = (nn.Parameter(torch.full(shape, 0.01)) for shape in (mask.shape, mask.shape[:1]))
    x = torch.full((batch_size, *geometry.weight[1:2], *geometry.image), 0.01)
    layer: SparseLayer
    forward: Callable[[Tensor], Tensor]
    if density is None:
        layer, parameters = Masked(weight, mask, masks_state=True), [weight, bias]
        forward = partial(functional.linear, weight=weight, bias=bias)
        if geometry.image:
            options = {"stride": geometry.stride, "padding": geometry.padding}
            forward = partial(functional.conv2d, weight=weight, bias=bias, **options)
    else:
        active = indices_of(mask.flatten())
        sparse: CsrLayer
        if geometry.image:
            sparse = CsrConv2d(weight, bias, active, stride=geometry.stride, padding=geometry.padding)
        else:
            sparse = CsrLinear(weight, bias, active)
        if geometry.needs_input_grad:
            x = x.flatten(1).t().contiguous().t().view(x.shape)
        layer, parameters, forward = Csr(sparse, updates=False), list(sparse.parameters()), sparse
    x.requires_grad_(geometry.needs_input_grad)
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9, fused=True)
    layer.bind(optimizer)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        x.grad = None
        y = forward(x)
        y.backward(torch.full_like(y, 1e-3))
        optimizer.step()
        layer.after_step()

    return step
