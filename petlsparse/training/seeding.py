"""Random streams: every purpose draws from its own generator, all derived from the run's seed.

Streams are addressed, not consumed: the order of epoch 7 is `random_stream(seed, "order", 7)` whatever happened before.
A resumed run therefore needs no generator state for them, and one purpose can never shift another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CPU = torch.device("cpu")


def derived_seed(seed: int, purpose: str, *index: int) -> int:
    """A 63-bit seed for one purpose (such as "init" or "order") of a run, and optionally one epoch or step of it."""
    address = "/".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1


def random_stream(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A fresh CPU generator for one purpose of a run. Drawing on the CPU makes runs equal across devices."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, *index))


@contextmanager
def seeded(seed: int, purpose: str, *index: int, device: torch.device = CPU) -> Iterator[None]:
    """Run a block of a library that knows the device's global generator only under the named stream.

    That generator is left as it was, and those of other devices are not touched: `torch.manual_seed` reseeds all.
    """
    generator = global_generator(device)
    before = generator.get_state()
    generator.manual_seed(derived_seed(seed, purpose, *index))
    try:
        yield
    finally:
        generator.set_state(before)


def global_generator(device: torch.device) -> torch.Generator:
    """The generator that operations on a device draw from when they are given none."""
    if device.type != "cuda":
        return torch.default_generator
    torch.cuda.init()  # type: ignore[no-untyped-call]  # there is none before
    index: int | None = device.index
    return torch.cuda.default_generators[torch.cuda.current_device() if index is None else index]
