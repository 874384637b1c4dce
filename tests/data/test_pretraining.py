"""The pre-training mix: its label space, its parts, and labels that an independent look at the pixels confirms."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from petlsparse.data import load_data
from petlsparse.data.files.bundled import fashion_mnist_10k
from petlsparse.data.generated import pretraining
from petlsparse.data.rng import rng_for
from petlsparse.data.types import Split
from petlsparse.errors import UserError

BLANK = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64)  # garments that the kind under test does not use


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "EXAMPLES", {"train": (90, 50, 48, 64), "val": (7,) * 4, "test": (7,) * 4})
    monkeypatch.setattr(pretraining, "_CHUNK", 64)  # the garments take two


def marked(value: int) -> Split:
    """Garments that are all of one brightness, and of kind 3."""
    return Split(torch.full((5, 1, 28, 28), value, dtype=torch.uint8), torch.full((5,), 3))


@pytest.mark.usefixtures("few")
def test_kinds_share_one_label_space_in_order() -> None:
    split = pretraining.draw(marked(200), "train")
    assert split.images.shape == (252, 3, 32, 32)
    first, numbers, directions, places = split.labels.split([90, 50, 48, 64])
    assert set(first.tolist()) == {3}
    assert (numbers.min(), numbers.max()) == (10, 18)
    assert (directions.min(), directions.max()) == (19, 42)
    assert (places.min(), places.max()) == (43, 106)


@pytest.mark.usefixtures("few")
def test_every_part_is_drawn_from_its_own_garments_and_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "fashion_mnist", fashion_mnist_10k)
    source = pretraining.pretraining_mix.__wrapped__()
    assert source.classes == 107
    again = pretraining.draw(load_data("fashion-mnist-10k").train, "train")
    assert torch.equal(source.train.images, again.images)
    images = [image.numpy().tobytes() for part in (source.train, source.val) for image in part.images]
    assert len(set(images)) == len(images)


@pytest.mark.usefixtures("few")
def test_without_the_full_fashion_mnist_nothing_else_is_drawn(data_root: object) -> None:
    with pytest.raises(UserError, match="fashion-mnist"):
        pretraining.pretraining_mix.__wrapped__()


def foreground(images: np.ndarray) -> np.ndarray:
    """Pixels that differ from the commonest colour of their image: bool (N, H, W)."""
    masks = []
    for image in images.reshape(len(images), 3, -1):
        colours, counts = np.unique(image.T, axis=0, return_counts=True)
        masks.append((colours[counts.argmax()] != image.T).any(-1).reshape(images.shape[-2:]))
    return np.stack(masks)


def test_places_are_where_the_pixels_are() -> None:
    images, labels = pretraining.places(rng_for("test"), *BLANK, 300)
    masks, middle = foreground(images), np.arange(32) + 0.5
    area = masks.sum((1, 2))
    column = ((masks.sum(1) * middle).sum(1) / area - 4) / 3
    row = ((masks.sum(2) * middle).sum(1) / area - 4) / 3
    assert np.abs(column - (labels % 8 + 0.5)).max() < 1.5  # cells; a blob's corners lie unevenly around its middle
    assert np.median(np.abs(column - (labels % 8 + 0.5))) < 0.5
    assert np.median(np.abs(row - (labels // 8 + 0.5))) < 0.5


def test_directions_turn_the_same_pointer() -> None:
    """Pointers reach furthest forwards or backwards, never to the side."""
    images, labels = pretraining.directions(rng_for("test"), *BLANK, 300)
    rows, columns = np.mgrid[:32, :32]
    along = []
    for mask, label in zip(foreground(images), labels, strict=True):
        if mask[[0, -1]].any() or mask[:, [0, -1]].any():
            continue  # cut off by the border
        x, y = columns[mask] - columns[mask].mean(), rows[mask] - rows[mask].mean()
        angle = 2 * np.pi * (label + 0.5) / 24
        along.append(np.std(x * np.cos(angle) + y * np.sin(angle)) / np.std(y * np.cos(angle) - x * np.sin(angle)))
    assert len(along) > 150
    assert np.median(along) > 1.2


def test_numbers_are_how_many_objects_there_are() -> None:
    """White squares for garments: with blobs, no image shows more regions than its label says."""
    white = np.full((1, 28, 28), 255, np.uint8), np.zeros(1, np.int64)
    images, labels = pretraining.numbers(rng_for("test"), *white, 400)
    masks = foreground(images)
    regions = np.array([ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks])
    assert (regions <= labels + 2).all()
    assert (regions == labels + 2)[labels == 0].mean() > 0.5
    area = masks.mean((1, 2))
    assert area[labels == 8].mean() > 2 * area[labels == 0].mean()
    assert np.bincount(labels).tolist() == [45, 45, 45, 45, 44, 44, 44, 44, 44]
