"""Augmentations against brute-force twins, and the normalisation against values worked out by hand."""

import pytest
import torch
from torch import Tensor

from petlsparse.data import AUGMENTATIONS, normalise
from petlsparse.data.augment import crop_flip, flip, none
from petlsparse.registry import resolve


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int, height: int = 16, width: int = 24) -> Tensor:
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator(9))


def reflect(index: int, side: int) -> int:
    """Index -1 is pixel 1, index side is pixel side - 2."""
    return -index if index < 0 else 2 * (side - 1) - index if index >= side else index


def every_crop_and_mirror(image: Tensor) -> list[Tensor]:
    """By loops over pixels: all crops of the image padded by an eighth of each side, and their mirror images."""
    _, height, width = image.shape
    crops = []
    for down in range(-(height // 8), height // 8 + 1):
        for right in range(-(width // 8), width // 8 + 1):
            crop = torch.empty_like(image)
            for row in range(height):
                for column in range(width):
                    crop[:, row, column] = image[:, reflect(row + down, height), reflect(column + right, width)]
            crops += [crop, crop.flip(-1)]
    return crops


def test_crop_flip_gives_every_crop_of_the_padded_image_and_nothing_else() -> None:
    image = random_images(1)[0]
    possible = torch.stack(every_crop_and_mirror(image))  # (2 * 5 * 7, C, H, W)
    drawn = crop_flip(image.expand(1500, -1, -1, -1), generator())
    matches = (drawn[:, None] == possible[None]).flatten(2).all(-1)  # which twin each one equals
    assert matches.sum(1).eq(1).all()
    counts = matches.sum(0)
    assert counts.min() > 0  # 21 expected of each
    assert counts.max() < 60


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = random_images(400)
    drawn = flip(images, generator())
    mirrored = (drawn == images.flip(-1)).flatten(1).all(1)
    kept = (drawn == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_none_changes_nothing_and_draws_nothing() -> None:
    images, source = random_images(3), generator()
    before = source.get_state()
    assert torch.equal(none(images, source), images)
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_constant_images_type_and_shape(name: str) -> None:
    images = torch.full((5, 1, 28, 28), 93, dtype=torch.uint8)
    drawn = resolve(AUGMENTATIONS, name, "augmentation")(images, generator())
    assert drawn.dtype == torch.uint8
    assert torch.equal(drawn, images)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_generator_gives_the_same_images(name: str) -> None:
    augment, images = resolve(AUGMENTATIONS, name, "augmentation"), random_images(50)
    assert torch.equal(augment(images, generator(4)), augment(images, generator(4)))
    if name != "none":
        assert not torch.equal(augment(images, generator(4)), augment(images, generator(5)))


@pytest.mark.gpu
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_device_does_not_matter(name: str) -> None:
    augment, images = resolve(AUGMENTATIONS, name, "augmentation"), random_images(50)
    assert torch.equal(augment(images, generator()), augment(images.cuda(), generator()).cpu())


def test_normalise_by_hand() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)  # (1, 2, 1, 2)
    normalised = normalise(images, mean=(0.5, 0.2), std=(0.5, 0.1))
    assert normalised.flatten().tolist() == pytest.approx([-1.0, 1.0, 0.0, 2.0], abs=1e-6)
    assert normalise(images, (0.5, 0.2), (0.5, 0.1), torch.bfloat16).dtype == torch.bfloat16
    assert images[0, 0, 0, 1] == 255
