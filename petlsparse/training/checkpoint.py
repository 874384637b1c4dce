"""One file holds everything a run needs to go on: tensors as safetensors, the rest as JSON beside them. No pickle."""

from __future__ import annotations

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

FORMAT = "1"
FACTS = "facts"
"""Name of the tensor that holds the JSON, compressed: headers of safetensors files have a size limit."""


class BrokenCheckpoint(Exception):
    """The file is truncated, damaged, or not this run's; the run has to start again."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write atomically: a reader finds the old file or the new one, never a part of it."""
    compressed = zlib.compress(json.dumps(facts).encode(), level=1)
    content = {**tensors, FACTS: torch.frombuffer(bytearray(compressed), dtype=torch.uint8)}
    save_tensors(path, content, {"format": FORMAT})


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, with `about` in its header."""
    # Tied or viewed storage is refused by safetensors, so every tensor is written as its own contiguous copy.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata=dict(about)))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file written by `save_checkpoint`. Raises BrokenCheckpoint."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            found = (file.metadata() or {}).get("format")
            if found != FORMAT:
                raise BrokenCheckpoint(f"{path}: checkpoint format {found!r}, expected {FORMAT!r}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(zlib.decompress(tensors.pop(FACTS).cpu().numpy().tobytes()))
    except (SafetensorError, OSError, ValueError, KeyError, zlib.error) as error:
        raise BrokenCheckpoint(f"{path}: {error}") from error
    return tensors, facts


def manner_of(path: Path) -> dict[str, str] | None:
    """How the run was being executed when the checkpoint was written; None if there is none that can be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(zlib.decompress(file.get_tensor(FACTS).numpy().tobytes()))
        return dict(facts["manner"])
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
    """Copy `learned_tensors` back in place. Raises BrokenCheckpoint when names or shapes differ."""
    own = learned_tensors(model)
    if own.keys() != tensors.keys():
        raise BrokenCheckpoint(f"checkpoint holds other tensors: {sorted(own.keys() ^ tensors.keys())[:5]}")
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape != tensors[name].shape:
                raise BrokenCheckpoint(f"{name}: shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}")
            tensor.copy_(tensors[name])


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
    """The inverse of `optimizer_tensors`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        # Adam's fused step counter lives where the parameter lives.
        optimizer.state[parameter][name] = tensor.to(parameter.device, copy=True)
