"""Small pictures placed on a larger canvas by shift, scale, rotation and mirroring."""

from __future__ import annotations

import numpy as np

from petlsparse.data.rng import unit_vectors


def warp(
    pictures: np.ndarray, size: int, centre: np.ndarray, width: np.ndarray, angle: np.ndarray, mirrored: np.ndarray
) -> np.ndarray:
    """Pictures uint8 (N, S, S) drawn on canvases of zeros, bilinearly: float32 (N, size, size) in 0..1.

    ``centre`` (N, 2) is (x, y) in canvas pixels, ``width`` (N,) the picture's side there, ``angle`` (N,) clockwise
    in radians, ``mirrored`` (N,) bool.
    """
    side = pictures.shape[-1]
    middle = np.arange(size, dtype=np.float32) + np.float32(0.5)
    dx = middle[None, None, :] - centre[:, 0, None, None].astype(np.float32)
    dy = middle[None, :, None] - centre[:, 1, None, None].astype(np.float32)
    cos, sin = (part[:, None, None] for part in unit_vectors(angle))
    zoom = (side / width)[:, None, None]
    sign = np.where(mirrored, -1.0, 1.0)[:, None, None]
    half = np.float32(side / 2 - 0.5)
    u = dx * (cos * zoom * sign).astype(np.float32) + dy * (sin * zoom * sign).astype(np.float32) + half
    v = dx * (-sin * zoom).astype(np.float32) + dy * (cos * zoom).astype(np.float32) + half
    return _bilinear(np.pad(pictures, ((0, 0), (1, 1), (1, 1))), u + 1, v + 1)


def _bilinear(pictures: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sample pictures (N, S, S), whose border is zero, at columns u and rows v (N, size, size)."""
    side = pictures.shape[-1]
    u, v = np.clip(u, 0, side - 1), np.clip(v, 0, side - 1)
    column, row = (np.minimum(value.astype(np.int32), side - 2) for value in (u, v))
    right, down = u - column, v - row
    flat = pictures.reshape(-1)
    corner = (np.arange(len(pictures), dtype=np.int32) * side**2)[:, None, None] + row * side + column
    top = flat[corner] * (1 - right) + flat[corner + 1] * right
    bottom = flat[corner + side] * (1 - right) + flat[corner + side + 1] * right
    sampled: np.ndarray = top * (1 - down) + bottom * down
    return sampled.astype(np.float32) / np.float32(255)
