"""Batches of images against the same, one image at a time."""

from __future__ import annotations

import numpy as np
import torch

from petlsparse.data.augment import crop_flip
from petlsparse.data.types import Split
from petlsparse.training.loaders import Images

MEAN, STD = (0.49, 0.2), (0.25, 0.3)


def some_split() -> Split:
    draws = torch.Generator().manual_seed(0)
    return Split(torch.randint(256, (20, 2, 16, 24), dtype=torch.uint8, generator=draws), torch.arange(20))


def by_hand(image: torch.Tensor) -> torch.Tensor:
    """(pixel / 255 - mean) / std, every operation rounded to float32."""
    pixels = image.numpy().astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
    return torch.from_numpy((pixels / np.float32(255) - mean) / std)


def test_a_batch_holds_the_chosen_images_in_order_bit_by_bit() -> None:
    split = some_split()
    chosen = [7, 0, 19, 7]
    batch = Images(split, MEAN, STD).batch(torch.tensor(chosen))
    assert torch.equal(batch, torch.stack([by_hand(split.images[i]) for i in chosen]))


def test_a_slice_holds_the_same_images_as_its_indices() -> None:
    images = Images(some_split(), MEAN, STD)
    assert torch.equal(images.batch(slice(3, 8)), images.batch(torch.arange(3, 8)))


def test_augmentation_comes_before_normalisation_and_only_with_a_generator() -> None:
    split, chosen = some_split(), torch.tensor([4, 4, 11])
    images = Images(split, MEAN, STD, crop_flip)
    augmented = crop_flip(split.images[chosen], torch.Generator().manual_seed(3))
    assert torch.equal(images.batch(chosen, torch.Generator().manual_seed(3)), torch.stack([*map(by_hand, augmented)]))
    assert torch.equal(images.batch(chosen), Images(split, MEAN, STD).batch(chosen))


def test_batches_leave_the_split_as_it_is() -> None:
    split = some_split()
    before = split.images.clone()
    Images(split, MEAN, STD, crop_flip).batch(torch.arange(20), torch.Generator().manual_seed(0))
    Images(split, MEAN, STD).batch(slice(0, 20))
    assert torch.equal(split.images, before)
