"""How many runs fit into memory as one, from what cohorts of one and of two are seen to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch

from petlsparse.cohorts.capture import CapturedStep
from petlsparse.cohorts.stacked import StackedStrategy
from petlsparse.training.loop import Loop
from petlsparse.training.member import Member
from petlsparse.training.memory import free_memory_bytes, peak_memory_bytes, reset_peak_memory, used_memory_bytes

SHARE_OF_MEMORY = 0.8
"""Of the free memory: what a cohort may take."""


def fitting(
    count: int,
    device: torch.device,
    *,
    measured: Callable[[int], int],
    weights: Callable[[], int],
    workers_per_device: int,
) -> int:
    """How many of `count` runs fit into memory at once; no measurement is trusted below what is known to be held.

    Args:
        count: runs there are.
        device: whose memory.
        measured: runs trained as one -> bytes at the highest point.
        weights: bytes of one run's trained parameters: it holds them, gradients, best weights, masks and one
            optimizer state.
        workers_per_device: processes that share the memory.
    """
    if count < 3:
        return count
    before = used_memory_bytes(device)
    one, two = (measured(members) - before for members in (1, 2))
    fixed_and_one, each = max(one, 0), max(two - one, 5 * weights())
    room = SHARE_OF_MEMORY * free_memory_bytes(device) / workers_per_device - fixed_and_one
    return max(1, min(count, 1 + int(room / each)))


def peak_bytes(members: Sequence[Member], **how: Any) -> int:
    """Bytes at the highest point of a few steps and a validation pass; the members are of no use afterwards.

    Steps of every kind: a recorded one holds memory of its own beside what the others use. `how` are arguments of
    `StackedStrategy`.
    """
    reset_peak_memory(members[0].device)
    strategy = StackedStrategy(members, **how)
    loop = Loop(strategy, done=lambda *_: None)
    strategy.train(True)
    with strategy.context():
        for epoch, chosen in islice(loop.batches(), 1 if strategy.captured is None else CapturedStep.WARM_UP + 2):
            loop.step(epoch, chosen)
        loop.compute(*loop.batch(loop.steps_done + 1, chosen))
        loop.evaluate(epoch, loop.active)
    return peak_memory_bytes(members[0].device)


def even_parts(things: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Consecutive parts, as few as possible of at most `size` things, of almost equal length."""
    count = -(-len(things) // size)
    return [things[len(things) * i // count : len(things) * (i + 1) // count] for i in range(count)]
