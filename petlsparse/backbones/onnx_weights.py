"""The weights in an ONNX file, by the names that they have in PyTorch. Reads the file's protocol buffers by itself.

An exporter keeps the names of all parameters but the matrices of linear layers, which it transposes and numbers. Such a
matrix is multiplied in a MatMul whose result is added to the layer's bias, and the bias has kept its name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_FLOAT = 1
# Numbers of the fields that are read, from onnx.proto.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_INPUT, _OUTPUT, _OPERATION = 1, 2, 4
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9


class _Node(NamedTuple):
    operation: str
    inputs: list[str]
    outputs: list[str]


def onnx_weights(content: bytes) -> dict[str, Tensor]:
    """The float32 initialisers of a model's graph, matrices of linear layers as PyTorch has them: (outputs, inputs).

    Raises ValueError for what is no ONNX model.
    """
    try:
        graph = memoryview(next(value for number, value in _fields(memoryview(content)) if number == _GRAPH))
        tensors = dict(_tensor(value) for number, value in _fields(graph) if number == _INITIALIZER)
        nodes = [_node(value) for number, value in _fields(graph) if number == _NODE]
    except (StopIteration, IndexError, KeyError, TypeError, struct.error, UnicodeDecodeError) as error:
        raise ValueError("this is no ONNX model") from error
    found = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    products = {node.outputs[0]: node.inputs[1] for node in nodes if node.operation == "MatMul"}
    for node in nodes:
        if node.operation != "Add":
            continue
        bias = next((name for name in node.inputs if name.endswith(".bias") and name in found), None)
        matrix = next((products[name] for name in node.inputs if name in products), None)
        if bias is not None and matrix in found:
            found[f"{bias.removesuffix('bias')}weight"] = found.pop(matrix).T.contiguous()
    return found


def _node(content: memoryview) -> _Node:
    found: dict[int, list[str]] = {}
    for number, value in _fields(content):
        if number in (_INPUT, _OUTPUT, _OPERATION):
            found.setdefault(number, []).append(bytes(value).decode())
    return _Node(found[_OPERATION][0], found.get(_INPUT, []), found.get(_OUTPUT, []))


def _tensor(content: memoryview) -> tuple[str, Tensor | None]:
    """Its name and values; no values of other types than float32."""
    dims: list[int] = []
    name, kind, raw = "", 0, memoryview(b"")
    for number, value in _fields(content):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif number == _TYPE:
            kind = value
        elif number == _NAME:
            name = bytes(value).decode()
        elif number == _RAW:
            raw = value
    if kind != _FLOAT or len(raw) != 4 * int(np.prod(dims)):
        return name, None
    return name, torch.from_numpy(np.frombuffer(raw, "<f4").reshape(dims).copy())


def _fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of every field of a message: a whole number, or bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(content, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("this is no ONNX model")
        if at + size > len(content):
            raise ValueError("this ONNX model is cut off")
        yield number, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at


def _varints(content: memoryview) -> Iterator[int]:
    at = 0
    while at < len(content):
        value, at = _varint(content, at)
        yield value
