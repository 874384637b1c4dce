"""A study whose runs train alone only."""

from fake_studies import execute

__all__ = ["execute"]
