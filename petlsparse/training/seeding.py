"""Random streams: every purpose draws from its own generator, all derived from the run's seed.

Streams are addressed, not consumed: the order of epoch 7 is `stream(seed, "order", 7)` whatever happened before.
A resumed run therefore needs no generator state for them, and one purpose can never shift another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, purpose: str, *index: int) -> int:
    """A 63-bit seed for one purpose (such as "init" or "order") of a run, and optionally one epoch or step of it."""
    address = "/".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1


def stream(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A fresh CPU generator for one purpose of a run. Drawing on the CPU makes runs equal across devices."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, *index))


@contextmanager
def seeded(seed: int, purpose: str, *index: int) -> Iterator[None]:
    """Run a block (a library's own weight initialisation, on the CPU) under the named stream.

    The global generator is left as it was. GPUs are not touched: forking theirs would open a context on each.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, purpose, *index))
        yield
