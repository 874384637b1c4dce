"""What a data set is once loaded: splits of uint8 images, and what a network needs to know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from petlsparse.data.description import DatasetDescription


@dataclass(frozen=True)
class Split:
    """Images with their labels; the tensors may be shared between callers and must not be written to."""

    images: Tensor
    """uint8 (N, C, H, W)."""
    labels: Tensor
    """int64 (N,)."""

    def __len__(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device."""
        return Split(self.images.to(device), self.labels.to(device))

    def take(self, indices: Tensor | slice) -> Split:
        """The examples at ``indices``, in that order."""
        return Split(rows(self.images, indices), rows(self.labels, indices))

    def join(self, other: Split) -> Split:
        """This split followed by another one."""
        return Split(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))


def rows(values: Tensor, which: Tensor | slice) -> Tensor:
    """`values[which]`, with indices int64 (B,) on any device; a slice is a view."""
    # Where rows have some kilobytes this takes a fraction of the time of values[which] on the CPU.
    return values[which] if isinstance(which, slice) else values.index_select(0, which.to(values.device))


@dataclass(frozen=True)
class FolderSettings:
    """How images on disk are read: the settings of the recipe's data table that only such data have."""

    image_fit: str = "resize"
    background: str = "white"
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    image_column: str | None = None
    label_column: str | None = None


class HeldOut(NamedTuple):
    """What is known of the test part before the end of a run. Drawing one only to look at it may take seconds."""

    examples: int
    fingerprint: str


@dataclass(frozen=True)
class RawDataset:
    """A data set as it is published: native size and channels, official (or declared) splits."""

    classes: int
    train: Split
    val: Split
    read_test: Callable[[], Split] = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    held_out: HeldOut | None = None
    """Of the test part, where it is known without reading it again."""
    description: DatasetDescription | None = None
    """Of data that are not the same for everybody."""


@dataclass(frozen=True)
class Dataset:
    """A data set as a run uses it: resized, with the channels and the number of examples that were asked for."""

    name: str
    classes: int
    train: Split
    val: Split
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to 0..1; so is ``std``."""
    std: tuple[float, ...]
    fingerprint: str
    """12 hex digits of the content of ``train`` and ``val`` as they are here."""
    test_fingerprint: str
    """12 hex digits of the content of the test part, before ``load_data`` changes its size and channels."""
    test_examples: int
    read_test: Callable[[], Split] = field(repr=False)
    description: DatasetDescription | None = None

    def test(self) -> Split:
        """Read the test split now. Nothing of it was kept when it was checked at loading."""
        return self.read_test()
