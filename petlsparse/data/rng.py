"""Random numbers that are the same on every platform and with every NumPy.

NumPy keeps the bits of PCG64 and of its seeding for ever, but not what its distributions make of them. Everything
here is therefore derived from uniform doubles alone.
"""

from __future__ import annotations

import hashlib

import numpy as np

Rng = np.random.Generator


def rng_for(*purpose: str) -> Rng:
    """The generator that belongs to a purpose, for instance ``rng_for("shapes-count", "test")``."""
    seed = int.from_bytes(hashlib.sha256("/".join(purpose).encode()).digest()[:16], "big")
    return np.random.Generator(np.random.PCG64(seed))


def uniform(rng: Rng, low: float, high: float, shape: int | tuple[int, ...]) -> np.ndarray:
    """Floats in [low, high)."""
    return low + (high - low) * rng.random(shape)


def integers(rng: Rng, low: int, high: int, shape: int | tuple[int, ...]) -> np.ndarray:
    """Integers in low..high-1."""
    return low + np.floor((high - low) * rng.random(shape)).astype(np.int64)


def permutation(rng: Rng, count: int) -> np.ndarray:
    """A random order of 0..count-1."""
    return np.argsort(rng.random(count), kind="stable")


def balanced_labels(rng: Rng, count: int, classes: int) -> np.ndarray:
    """Labels (count,) in random order, every class count / classes times, to within one."""
    return permutation(rng, count) % classes


def unit_vectors(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, rounded to nine decimals: mathematical libraries differ in the last bit."""
    return np.round(np.cos(angles), 9), np.round(np.sin(angles), 9)
