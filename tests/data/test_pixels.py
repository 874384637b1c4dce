"""Whatever its mode, an image gives the pixels that its 8-bit twin gives; what has no twin is refused."""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petlsparse.data.files.decode import DecodeSettings, decoded
from petlsparse.data.files.pixels import rgb
from petlsparse.data.files.tree import SUFFIXES
from petlsparse.errors import UserError

GREY = np.arange(0, 252, 7, dtype=np.uint8).reshape(6, 6)  # 0, 7, ... 245
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
DEEP = GREY.astype(np.uint16) * 257


def reopened(image: Image.Image, form: str, **options: object) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return Image.open(buffer)


def pixels(image: Image.Image, background: str = "white") -> np.ndarray:
    return np.array(rgb(image, background)[0])


def pgm(values: np.ndarray, most: int) -> Image.Image:
    height, width = values.shape
    return Image.open(BytesIO(b"P5 %d %d %d\n" % (width, height, most) + values.astype(">u2").tobytes()))


def tiff(values: np.ndarray, bits: int, *, white_is_zero: bool = False) -> Image.Image:
    """A little-endian TIFF of one strip, written by hand: 16-bit values, or 12-bit ones packed."""
    height, width = values.shape
    if bits == 12:
        digits = "".join(f"{value:012b}" for value in values.flatten())
        strip = int(digits, 2).to_bytes(len(digits) // 8, "big")
    else:
        strip = values.astype("<u2").tobytes()
    tags = [
        (256, width), (257, height), (258, bits), (259, 1), (262, 0 if white_is_zero else 1),
        (273, 8), (277, 1), (278, height), (279, len(strip)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    content = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + bytes(4)
    return Image.open(BytesIO(content))


SAME_AS_GREY: dict[str, Callable[[], Image.Image]] = {
    "8-bit PNG": lambda: reopened(Image.fromarray(GREY), "PNG"),
    "16-bit PNG": lambda: reopened(Image.fromarray(DEEP), "PNG"),
    "16-bit TIFF": lambda: reopened(Image.fromarray(DEEP), "TIFF"),
    "16-bit big-endian TIFF": lambda: reopened(Image.fromarray(DEEP.astype(">u2")), "TIFF"),
    "16-bit TIFF, white is zero": lambda: tiff(65535 - DEEP, 16, white_is_zero=True),
    "12-bit TIFF": lambda: tiff(np.rint(GREY.astype(float) * 4095 / 255).astype(int), 12),
    "16-bit PGM": lambda: pgm(DEEP, 65535),
    "10-bit PGM": lambda: pgm(np.rint(GREY.astype(float) * 1023 / 255), 1023),
    "floats in 0..1": lambda: reopened(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF"),
    "grey with opaque alpha": lambda: reopened(Image.fromarray(GREY).convert("LA"), "PNG"),
    "palette": lambda: reopened(Image.fromarray(GREY).convert("P"), "PNG"),
    "palette with opaque alpha": lambda: Image.fromarray(GREY).convert("P").convert("PA"),
    "RGBX": lambda: Image.fromarray(GREY).convert("RGBX"),
    "CMYK": lambda: Image.fromarray(np.stack([0 * GREY, 0 * GREY, 0 * GREY, 255 - GREY], -1), "CMYK"),
}


@pytest.mark.parametrize("kind", SAME_AS_GREY)
def test_a_grey_image_of_any_depth_equals_its_8_bit_twin(kind: str) -> None:
    expected = np.repeat(GREY[..., None], 3, axis=-1)
    np.testing.assert_array_equal(pixels(SAME_AS_GREY[kind]()), expected)


def test_16_bits_are_rounded_not_cut() -> None:
    values = np.array([[0, 128, 129, 257, 32767, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    expected = [[round(value * 255 / 65535) for value in values[0].tolist()]]
    assert expected == [[0, 0, 1, 1, 127, 128, 254, 255, 255]]  # 128 / 257 < 1/2 < 129 / 257
    assert pixels(reopened(Image.fromarray(values), "PNG"))[..., 0].tolist() == expected


def test_bits_become_black_and_white() -> None:
    image = reopened(Image.fromarray(GREY > 100), "PNG")
    assert image.mode == "1"
    np.testing.assert_array_equal(pixels(image)[..., 0], np.where(GREY > 100, 255, 0))


def palette_with_a_transparent_entry() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    return reopened(image, "PNG", transparency=0)


def grey_with_a_transparent_value(deep: bool) -> Image.Image:
    values = np.array([[0, 200], [200, 200]], np.uint8)
    image = Image.fromarray(values.astype(np.uint16) * 257 if deep else values)
    return reopened(image, "PNG", transparency=0)


@pytest.mark.parametrize(
    ("background", "colour"), [("white", [255] * 3), ("black", [0] * 3), ("#0a141e", [10, 20, 30])]
)
def test_what_is_transparent_shows_the_background(background: str, colour: list[int]) -> None:
    silhouette = np.zeros((2, 2, 4), np.uint8)
    silhouette[1, :, 3] = 255  # black and opaque below, nothing above
    for image in (Image.fromarray(silhouette), reopened(Image.fromarray(silhouette), "PNG")):
        assert pixels(image, background)[:, 0].tolist() == [colour, [0] * 3]
    assert pixels(palette_with_a_transparent_entry(), background)[0].tolist() == [colour, [200, 100, 50]]
    for deep in (False, True):
        assert pixels(grey_with_a_transparent_value(deep), background)[0].tolist() == [colour, [200] * 3]
    premultiplied = Image.fromarray(silhouette).convert("RGBa")
    assert pixels(premultiplied, background)[:, 0].tolist() == [colour, [0] * 3]


def test_half_transparent_pixels_are_mixed_with_the_background() -> None:
    half = Image.fromarray(np.array([[[200, 100, 0, 102]]], np.uint8))  # 40 %
    expected = [0.4 * value + 0.6 * 255 for value in (200, 100, 0)]
    assert pixels(half)[0, 0].tolist() == pytest.approx(expected, abs=1)
    grey = Image.fromarray(np.array([[[200, 102]]], np.uint8), "LA")
    assert pixels(grey, "black")[0, 0].tolist() == pytest.approx([80] * 3, abs=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.0, 255.0]], np.float32), r"not within 0\.\.1 but 0\.\.255"),
        (np.array([[-0.5, 0.5]], np.float32), r"not within 0\.\.1 but -0\.5\.\.0\.5"),
        (np.array([[np.nan, 0.5]], np.float32), r"not within 0\.\.1"),
        (np.array([[0, 100_000]], np.int32), "do not say what is white"),
    ],
)
def test_numbers_without_a_known_range_are_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    file = tmp_path / "a.tif"
    Image.fromarray(values).save(file)
    with pytest.raises(UserError, match=rf"1 of 1 images cannot be read\n  .*a\.tif: .*{message}"):
        decoded((file,), DecodeSettings(8, "resize", "white"))


CORNERS = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
TURNED = {  # EXIF 2.32, table 6: where row 0 and column 0 of what is stored belong
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.T,
    6: CORNERS[::-1].T,
    7: CORNERS[::-1, ::-1].T,
    8: CORNERS[:, ::-1].T,
}


def exif(orientation: int, *, sound: bool = True) -> bytes:
    """A TIFF header with the orientation, and with a resolution of a type that Pillow reads but cannot write."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    if not sound:
        entries += struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries) // 12) + entries + bytes(4)


@pytest.mark.parametrize("sound", [True, False])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_turned_as_exif_says_whatever_else_it_says(orientation: int, sound: bool) -> None:
    image = reopened(Image.fromarray(CORNERS), "PNG", exif=exif(orientation, sound=sound))
    turned, done = rgb(image, "white")
    np.testing.assert_array_equal(np.array(turned)[..., 0], TURNED[orientation])
    assert done == (() if orientation == 1 else ("turned as EXIF says",))


@pytest.mark.parametrize("block", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", exif(6)[:16], exif(99), b""])
def test_exif_that_says_nothing_leaves_the_image_as_it_is(block: bytes) -> None:
    image = reopened(Image.fromarray(CORNERS), "PNG", exif=block)
    np.testing.assert_array_equal(pixels(image)[..., 0], CORNERS)


def test_the_first_frame_is_taken() -> None:
    frames = [Image.fromarray(np.full((2, 2), value, np.uint8)) for value in (50, 200)]
    image = reopened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(image)[0, 0].tolist() == [50] * 3
    assert rgb(image, "white")[1] == ("first of several frames taken",)


def test_what_was_done_is_counted_with_sizes_modes_and_constant_images(tmp_path: Path) -> None:
    images = {
        "a.png": Image.fromarray(DEEP),
        "b.png": Image.fromarray(np.full((3, 5), 900, np.uint16)),
        "c.png": Image.fromarray(COLOUR),
        "d.png": Image.fromarray(np.zeros((6, 6, 4), np.uint8)),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
    found, stats = decoded(tuple(tmp_path / name for name in images), DecodeSettings(6, "resize", "black"))
    assert stats.sizes == {"6×6": 3, "5×3": 1}
    assert sum(stats.modes.values()) == 4
    assert stats.done == {"16-bit grey scaled to 8 bits": 2, "transparency laid over black": 1}
    assert stats.constant == [1, 3]
    np.testing.assert_array_equal(found[2].permute(1, 2, 0), COLOUR)


def test_every_suffix_is_one_that_pillow_opens() -> None:
    Image.init()
    assert {
        suffix for suffix in SUFFIXES - {".mpo"} if Image.registered_extensions().get(suffix) not in Image.OPEN
    } == set()
