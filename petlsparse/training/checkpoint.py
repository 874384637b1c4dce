"""One file holds everything a run needs to go on: tensors as safetensors, the rest as JSON beside them. No pickle."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.tracking.atomic import write_bytes

FORMAT = "3"
METADATA = "metadata"
"""Name of the tensor that holds the JSON, compressed: headers of safetensors files have a size limit."""


class BrokenCheckpoint(Exception):
    """Why a checkpoint cannot be continued: it is damaged, or not this run's. The run has to start again."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write atomically, with a checksum: a reader finds the old file or the new one, and notices every other."""
    compressed = zlib.compress(json.dumps(metadata).encode(), level=1)
    content = {**tensors, METADATA: torch.frombuffer(bytearray(compressed), dtype=torch.uint8)}
    plain = _separate(content)
    write_bytes(path, save(plain, metadata={"format": FORMAT, "checksum": _checksum(plain)}))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, with `about` in its header."""
    write_bytes(path, save(_separate(tensors), metadata=dict(about)))


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor as its own contiguous copy on the CPU: safetensors refuses tied or viewed storage."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """32 hex over names, types, shapes and bytes of tensors on the CPU."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, on the device, and metadata of a file written by `save_checkpoint`.

    Raises BrokenCheckpoint for a file that is damaged or of another version of the code.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if (found := header.get("format")) != FORMAT:
                raise BrokenCheckpoint(
                    f"another version of petlsparse wrote it, in format {found}; this one reads format {FORMAT}"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _checksum(tensors) != header.get("checksum"):
            raise BrokenCheckpoint("it is damaged: its checksum is not that of its content")
        metadata = _metadata(tensors.pop(METADATA))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise BrokenCheckpoint(f"it is damaged: {error}") from error
    return {name: tensor.to(device) for name, tensor in tensors.items()}, metadata


def _metadata(compressed: Tensor) -> dict[str, Any]:
    metadata = json.loads(zlib.decompress(compressed.numpy().tobytes()))
    if not isinstance(metadata, dict):
        raise TypeError("its metadata is no table")
    return metadata


def runtime_choices_of(path: Path, run_id: str) -> dict[str, str] | None:
    """How the run was being executed when the checkpoint was written; None if there is none of this run to be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _metadata(file.get_tensor(METADATA))
        return dict(metadata["runtime_choices"]) if metadata["run_id"] == run_id else None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, zlib.error):
        return None  # whoever continues from it will say what is wrong


def pack(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Groups of tensors as one flat dict, named "group/member"."""
    return {f"{group}/{name}": tensor for group, members in groups.items() for name, tensor in members.items()}


def unpack(tensors: Mapping[str, Tensor]) -> defaultdict[str, dict[str, Tensor]]:
    """The inverse of `pack`; a group that had no member reads as empty."""
    groups: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        group, _, member = name.partition("/")
        groups[group][member] = tensor
    return groups


def learned_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What training changes in a model: trainable parameters and buffers. A frozen backbone is left out."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return {**parameters, **dict(model.named_buffers())}


def load_learned_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `learned_tensors` back in place. Raises BrokenCheckpoint when names, shapes or types differ."""
    own = learned_tensors(model)
    check_fits(own, tensors)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def check_fits(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raises BrokenCheckpoint unless names, shapes and types are the same."""
    if own.keys() != tensors.keys():
        raise BrokenCheckpoint(f"it holds other tensors: {sorted(own.keys() ^ tensors.keys())[:5]}")
    for name, tensor in own.items():
        expected, found = ((tuple(one.shape), one.dtype) for one in (tensor, tensors[name]))
        if expected != found:
            raise BrokenCheckpoint(f"{name}: shape {found[0]}, {found[1]}; expected {expected[0]}, {expected[1]}")


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's buffers, named "<parameter index>.<buffer>"."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{index}.{name}": value
        for index, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`. Raises BrokenCheckpoint when a buffer has not its parameter's shape."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.numel() != 1 and tensor.shape != parameter.shape:
            raise BrokenCheckpoint(f"optimizer state {key}: shape {tuple(tensor.shape)} of {tuple(parameter.shape)}")
        # Adam's fused step counter lives where the parameter lives.
        optimizer.state[parameter][name] = tensor.to(parameter.device, copy=True)
