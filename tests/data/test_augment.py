"""Augmentations against brute-force twins, and the normalisation against values worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from petlsparse.data import AUGMENTATIONS, normalise
from petlsparse.data.augment import crop_flip, flip, none
from petlsparse.data.resized_crop import random_crops, resized_crop_flip
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


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_crop_flip_mirrors_pads_and_cuts_each_image_by_its_own_draws(
    shape: tuple[int, int, int, int], seed: int
) -> None:
    """The draws are, in this order: all shifts down, all shifts to the right, who is mirrored."""
    count, _, height, width = shape
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator(seed))
    drawn, draws = crop_flip(images, generator(seed)), generator(seed)
    tall, wide = height // 8, width // 8
    downs = torch.randint(-tall, tall + 1, (count,), generator=draws).tolist()
    rights = torch.randint(-wide, wide + 1, (count,), generator=draws).tolist()
    mirrored = torch.randint(2, (count,), generator=draws).tolist()
    for i, image in enumerate(images.numpy()):
        whole = image[..., ::-1] if mirrored[i] else image
        padded = np.pad(whole, ((0, 0), (tall, tall), (wide, wide)), mode="reflect")
        top, left = tall + downs[i], wide + rights[i]
        assert np.array_equal(drawn[i].numpy(), padded[:, top : top + height, left : left + width])


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


def test_resized_crops_are_those_parts_enlarged_and_half_of_them_mirrored() -> None:
    """The crops are drawn first, then who is mirrored; the part is enlarged by torch in double precision."""
    images = random_images(60, 20, 28)
    drawn, draws = resized_crop_flip(images, generator(3)), generator(3)
    crops = random_crops(60, 20, 28, draws)
    mirrored = torch.randint(2, (60,), generator=draws).tolist()
    assert 15 < sum(mirrored) < 45
    for i, (top, left, height, width) in enumerate(zip(*map(Tensor.tolist, crops), strict=True)):
        part = images[i : i + 1, :, top : top + height, left : left + width].double()
        expected = functional.interpolate(part, (20, 28), mode="bilinear", antialias=True)[0]
        expected = expected.flip(-1) if mirrored[i] else expected
        assert (drawn[i] - expected).abs().max() < 0.5 + 1e-3


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 64), (64, 8), (1, 1), (7, 9)])
def test_crops_are_drawn_as_torchvision_draws_them(height: int, width: int) -> None:
    """Sides and places agree on average; where no try fits, both take the largest part in the middle."""
    theirs = pytest.importorskip("torchvision.transforms").RandomResizedCrop
    crops = torch.stack(random_crops(1000, height, width, generator())).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        image = torch.empty(1, height, width)
        expected = torch.tensor([theirs.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(1000)]).double().T
    error = (crops.var(1) / 1000 + expected.var(1) / 1000).sqrt()
    assert ((crops.mean(1) - expected.mean(1)).abs() <= 5 * error).all()
    top, left, tall, wide = crops
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
