"""Generated images: fixed for ever, and labelled with what an independent look at the pixels finds."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from petlsparse.data import load_data
from petlsparse.data.generated import polygons, shapes, sprites
from petlsparse.data.generated.scatter import scatter
from petlsparse.data.generated.warp import warp
from petlsparse.data.rng import rng_for

GENERATED = ("sprites-location", "sprites-orientation", "shapes-count")


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("sprites-location", "0aab2cf70e9b"),
        ("sprites-orientation", "51d1984355fa"),
        ("shapes-count", "6d6eb8ee1350"),
    ],
)
def test_pixels_are_the_same_on_every_machine(name: str, golden: str) -> None:
    assert load_data(name).fingerprint == golden


@pytest.mark.parametrize("name", GENERATED)
def test_parts_are_balanced_and_share_no_image(name: str) -> None:
    data = load_data(name)
    parts = (data.train, data.val, data.test())
    assert [len(part) for part in parts] == [800, 200, 3000]
    for part in parts:
        counts = torch.bincount(part.labels, minlength=data.classes)
        assert counts.max() - counts.min() <= 1
    images = [image.numpy().tobytes() for part in parts for image in part.images]
    assert len(set(images)) == len(images)


def test_location_is_the_bin_of_the_pixels_centroid() -> None:
    data = load_data("sprites-location")
    images, labels = data.train.images[:, 0].numpy(), data.train.labels.numpy()
    assert set(np.unique(images)) == {0, 255}
    whole = ~(images[:, [0, -1]].any((1, 2)) | images[:, :, [0, -1]].any((1, 2)))  # not cut off by the border
    images, labels = images[whole], labels[whole]
    assert len(images) > 700
    columns = (images.sum(1) * (np.arange(64) + 0.5)).sum(1) / images.sum((1, 2))
    position = (columns - 10) / 44 * 16
    # The centroid of pixels differs from that of the outline by a fraction of a pixel (0.36 bins).
    assert (position > labels - 0.15).all()
    assert (position < labels + 1.15).all()
    assert (np.floor(position) == labels).mean() > 0.9


def test_orientation_is_the_turn_that_fits_the_pixels_best() -> None:
    """Draw every shape at every bin's middle over the first images, and see which fits best."""
    data = load_data("sprites-orientation")
    images, labels = data.train.images[:60, 0].numpy() > 0, data.train.labels[:60].tolist()
    errors = []
    for image, label in zip(images, labels, strict=True):
        rows, columns = np.nonzero(image)
        count = 16 * len(sprites.SHAPES)
        candidates = polygons.place(
            np.repeat(sprites.SHAPES, 16, axis=0),
            np.broadcast_to([columns.mean() + 0.5, rows.mean() + 0.5], (count, 2)),
            np.full(count, np.sqrt(image.sum() / np.pi)),
            np.tile(2 * np.pi * (np.arange(16) + 0.5) / 16, len(sprites.SHAPES)),
        )
        overlap = (polygons.fill(candidates, 64) & image).sum((1, 2))
        off = abs(int(overlap.argmax()) % 16 - label)
        errors.append(min(off, 16 - off))
    assert max(errors) <= 1
    assert np.mean(np.array(errors) == 0) > 0.8


def test_count_is_the_number_of_connected_regions_where_shapes_do_not_touch() -> None:
    data = load_data("shapes-count")
    regions = []
    for image in data.train.images.numpy():
        foreground = np.ptp(image.astype(int), axis=0) > 60  # the background is nearly grey, no shape is
        regions.append(ndimage.label(foreground, np.ones((3, 3)))[1])
    numbers = data.train.labels.numpy() + 3
    assert (np.array(regions) <= numbers).all()  # touching shapes join, nothing splits
    assert (np.array(regions)[numbers == 3] == 3).mean() > 0.5


def test_every_counted_shape_can_be_seen() -> None:
    rng = rng_for("test")
    centres = scatter(rng, 300, shapes.MOST, shapes.MARGIN, 64 - shapes.MARGIN, shapes.DISTANCE)
    gaps = np.linalg.norm(centres[:, :, None] - centres[:, None], axis=-1)
    gaps[:, np.arange(shapes.MOST), np.arange(shapes.MOST)] = np.inf
    assert gaps.min() >= shapes.DISTANCE
    assert centres.min() >= shapes.MARGIN
    assert centres.max() < 64 - shapes.MARGIN
    radius = np.full(300, shapes.RADIUS[1])
    layers = np.stack([shapes.random_shapes(rng, centres[:, k], radius) for k in range(shapes.MOST)])
    visible = [(layers[k] & ~layers[k + 1 :].any(0)).sum((1, 2)) for k in range(shapes.MOST)]
    shares = np.stack(visible) / layers.sum((2, 3))
    assert shares.min() > 0.25
    assert np.quantile(shares, 0.01) > 0.5


@pytest.mark.parametrize("shape", [*sprites.SHAPES, *shapes.SHAPES])
def test_outlines_have_the_unit_disc_s_area_and_centroid(shape: np.ndarray) -> None:
    placed = polygons.place(shape[None], np.array([[100.0, 100.0]]), np.array([40.0]), np.array([0.3]))
    rows, columns = np.nonzero(polygons.fill(placed, 200)[0])
    assert len(rows) == pytest.approx(np.pi * 40**2, rel=0.01)
    assert rows.mean() + 0.5 == pytest.approx(100, abs=0.3)
    assert columns.mean() + 0.5 == pytest.approx(100, abs=0.3)


@given(st.lists(st.tuples(st.integers(-3, 12), st.integers(-3, 12)), min_size=3, max_size=7))
@example([(0, 0), (-3, 0), (12, 11)])  # a pixel's centre lies on an edge, and rounding puts it on one side
def test_fill_agrees_with_counting_crossings_pixel_by_pixel(corners: list[tuple[int, int]]) -> None:
    filled = polygons.fill(np.array([corners], dtype=np.float64), 9)[0]
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    for row in range(9):
        y = Fraction(2 * row + 1, 2)
        crossings = [x0 + (y - y0) * (x1 - x0) / (y1 - y0) for (x0, y0), (x1, y1) in edges if (y0 > y) != (y1 > y)]
        for column in range(9):
            x = Fraction(2 * column + 1, 2)
            if x not in crossings:  # on an edge, a pixel may be either
                assert filled[row, column] == (sum(x > crossing for crossing in crossings) % 2 == 1)


def test_warp_without_change_is_the_picture_and_mirrors_and_turns_it() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8)
    placed = partial(warp, picture, 8, np.array([[4.0, 4.0]]), np.array([8.0]))
    expected = picture / 255
    np.testing.assert_allclose(placed(np.zeros(1), np.array([False])), expected, atol=1e-5)
    np.testing.assert_allclose(placed(np.zeros(1), np.array([True])), expected[:, :, ::-1], atol=1e-5)
    quarter = placed(np.array([np.pi / 2]), np.array([False]))  # clockwise
    np.testing.assert_allclose(quarter, np.rot90(expected, -1, axes=(1, 2)), atol=1e-5)


def test_warp_beyond_the_picture_is_empty() -> None:
    white = np.full((1, 8, 8), 255, np.uint8)
    placed = warp(white, 32, np.array([[10.0, 20.0]]), np.array([6.0]), np.zeros(1), np.array([False]))[0]
    assert placed.sum() == pytest.approx(36, rel=0.05)
    rows, columns = np.nonzero(placed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (17, 22, 7, 12)  # bilinear: 9/8 of the width
