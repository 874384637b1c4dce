"""Data sets drawn from fixed seeds; the same pixels on every machine."""
