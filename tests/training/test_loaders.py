"""Batches of images against the same, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from petlsparse.data.augment import crop_flip
from petlsparse.data.types import Split
from petlsparse.training.loaders import Images, has_room, placed

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


def test_a_part_that_a_gpu_has_no_room_for_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 8000))
    assert [has_room(torch.device("cuda"), size) for size in (500, 501)] == [True, False]
    assert has_room(torch.device("cpu"), 10**15)


@pytest.mark.gpu
def test_batches_of_images_in_main_memory_are_those_of_images_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    split = Split(torch.randint(256, (20, 3, 4, 4), dtype=torch.uint8), torch.arange(20))
    there = placed(split, torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 0))
    here = placed(split, torch.device("cuda"))
    assert (here.images.device.type, here.labels.device.type) == ("cpu", "cuda")
    for which in (slice(3, 9), torch.tensor([5, 0, 5]), torch.tensor([5, 0, 5], device="cuda")):
        one, other = (Images(each, (0.5,) * 3, (0.5,) * 3).batch(which) for each in (here, there))
        assert one.device == other.device
        assert torch.equal(one, other)
