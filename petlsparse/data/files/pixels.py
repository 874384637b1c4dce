"""Any image that Pillow opens as 8-bit RGB: deeper values scaled, transparent pixels laid over a background.

| values | become |
|---|---|
| 16-bit grey | scaled by 255 / 65535 and rounded; 12-bit TIFF by 255 / 4095 |
| floats in 0..1 | scaled by 255 and rounded |
| floats beyond 0..1, 32-bit whole numbers | refused: nothing says what is white |
| transparency, full or in part | laid over the background |
| CMYK and other colour spaces | RGB, as Pillow converts them |
| several frames or pages | the first one |
| an orientation in EXIF | upright |
"""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import ExifTags, Image

_SIXTEEN_BITS_AS_I = ("PNG", "PPM")  # older Pillows open them as 32-bit numbers; PGM of any depth is scaled to 16 bits
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it."""


def rgb(image: Image.Image, background: str) -> tuple[Image.Image, tuple[str, ...]]:
    """An opened image as upright RGB, and in words what was done beyond copying its pixels.

    ``background`` is a colour such as "white" or "#202020". Raises ValueError where the values have no known range,
    and what Pillow raises for damaged files.
    """
    image.load()
    done = []
    if getattr(image, "is_animated", False):
        done.append("first of several frames taken")
    turn = _UPRIGHT.get(_orientation(image))
    if turn is not None:
        done.append("turned as EXIF says")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        plain, how = _eight_bits(image)
        done.append(how)
    else:
        plain = image
    if plain.has_transparency_data:
        layer = _with_alpha(plain)
        if layer.getchannel("A").getextrema() != (255, 255):
            done.append(f"transparency laid over {background}")
        plain = Image.alpha_composite(Image.new("RGBA", layer.size, background), layer)
    elif plain.mode not in ("1", "L", "P", "RGB", "RGBX"):
        done.append(f"{plain.mode} to RGB")
    plain = plain.convert("RGB")
    return (plain if turn is None else plain.transpose(turn)), tuple(done)


def is_constant(image: Image.Image) -> bool:
    """Whether all pixels of an RGB image are equal."""
    bands = cast("tuple[tuple[int, int], ...]", image.getextrema())
    return all(low == high for low, high in bands)


def _orientation(image: Image.Image) -> int:
    """What EXIF says; upright where it cannot be read: the pixels can."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  the parser meets any bytes whatever, and fails in as many ways
        return 1


def _eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    values = np.asarray(image)
    if image.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            spread = f"{values.min():g}..{values.max():g}"
            raise ValueError(f"its numbers are not within 0..1 but {spread}: save it with 8 or 16 bits")
        return Image.fromarray(np.rint(values * 255.0).astype(np.uint8)), "floats in 0..1 scaled to 8 bits"
    if image.mode == "I" and image.format not in _SIXTEEN_BITS_AS_I:
        raise ValueError("32-bit whole numbers do not say what is white: save it with 8 or 16 bits")
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    peak = 2**bits - 1
    grey = np.rint(values.astype(np.float64) * (255 / peak)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    plain = Image.fromarray(grey)
    transparent = image.info.get("transparency")
    if transparent is not None:
        plain.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return plain, f"{bits}-bit grey scaled to 8 bits"


def _with_alpha(image: Image.Image) -> Image.Image:
    straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)  # from values multiplied by alpha
    return (image.convert(straight) if straight else image).convert("RGBA")
