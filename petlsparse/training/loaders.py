"""What a model is fed: the labels of a split, and any of its examples as a batch the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from petlsparse.data.augment import normalise
from petlsparse.data.types import Split, rows

DEVICE_SHARE = 0.5
"""Of free GPU memory: what takes more stays where it is, in main memory or in a file, and batches are copied."""


def has_room(device: torch.device, size: int) -> bool:
    """Whether a device is to hold `size` bytes of examples; what the CPU has it has already."""
    return device.type != "cuda" or size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def placed(split: Split, device: torch.device) -> Split:
    """The split on the device; its images where they are if there is no room for them."""
    if has_room(device, split.images.nbytes):
        return split.to(device)
    return Split(split.images, split.labels.to(device))


Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""uint8 images (B, C, H, W) on the device and a CPU generator -> images of the same shape"""


class Loader(Protocol):
    """One split on the device, as a model takes it."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        ...

    @property
    def random(self) -> bool:
        """Whether training batches draw from a generator."""
        ...

    def batch(self, which: Tensor | slice, generator: torch.Generator | None = None) -> Any:
        """The inputs of the examples at `which`; augmented if a generator is given and the loader is random."""
        ...


@dataclass(frozen=True)
class Images:
    """Images, augmented while they are uint8, then normalised: float32 (B, C, H, W)."""

    split: Split
    mean: tuple[float, ...]
    """Per channel, of pixels in 0..1; so is `std`."""
    std: tuple[float, ...]
    augment: Augmentation | None = None

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return self.split.labels

    @property
    def random(self) -> bool:
        """Whether there is an augmentation."""
        return self.augment is not None

    def batch(self, which: Tensor | slice, generator: torch.Generator | None = None) -> Tensor:
        """Normalised images (B, C, H, W)."""
        images = rows(self.split.images, which).to(self.labels.device)
        if self.augment is not None and generator is not None:
            images = self.augment(images, generator)
        return normalise(images, self.mean, self.std)


@dataclass(frozen=True)
class CachedFeatures:
    """What a frozen network makes of every example, computed beforehand: node -> float32 (B, T, d)."""

    values: Mapping[int, Tensor]
    """node -> (N, T, d) of any float type, on any device or mapped from a file."""
    labels: Tensor
    random: bool = False

    def batch(self, which: Tensor | slice, generator: torch.Generator | None = None) -> dict[int, Tensor]:
        """The nodes' values (B, T, d), in float32, where the labels are."""
        return {node: rows(values, which).to(self.labels.device).float() for node, values in self.values.items()}
