"""A writer of the part of ONNX that is read, after onnx.proto: names, shapes and bytes of tensors, and nodes."""

from __future__ import annotations

import numpy as np


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        low, value = value & 127, value >> 7
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def content(field: int, value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"float32": 1, "int64": 7}[values.dtype.name]
    dims = b"".join(number(1, side) for side in values.shape)
    return dims + number(2, kind) + content(8, name) + content(9, np.ascontiguousarray(values).tobytes())


def node(operation: str, inputs: list[str], output: str) -> bytes:
    return (
        b"".join(content(1, each) for each in inputs)
        + content(2, output)
        + content(3, f"/{output}")
        + content(4, operation)
    )


def model(tensors: dict[str, np.ndarray], nodes: list[bytes]) -> bytes:
    graph = b"".join(content(1, each) for each in nodes) + content(2, "main_graph")
    graph += b"".join(content(5, tensor(name, values)) for name, values in tensors.items())
    return number(1, 8) + content(2, "pytorch") + content(7, graph) + content(8, number(2, 14))
