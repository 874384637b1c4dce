"""Whatever can be reached from an object, as plain data that can be compared: what was really put together."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.optim import Optimizer

PLAIN = (str, bytes, int, float, bool, complex, type(None), Enum, Path, torch.device, torch.dtype, range, slice)


OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def described(thing: Any, seen: frozenset[int] = frozenset()) -> Any:
    """Nested tuples and dicts of plain values; raises TypeError where it meets the settings themselves.

    Functions are told by name and by what they close over, tensors and generators by their content.
    """
    if isinstance(thing, PLAIN):
        return thing
    if isinstance(thing, BaseModel):
        raise TypeError(f"settings that were handed on do not show that they act: {thing!r}")
    if id(thing) in seen:
        return "above"
    below = functools.partial(described, seen=seen | {id(thing)})
    if isinstance(thing, Tensor):
        content = thing.detach().cpu().contiguous()
        kind = content.view(torch.int16) if content.dtype is torch.bfloat16 else content
        return tuple(thing.shape), str(thing.dtype), hashlib.sha256(kind.numpy().tobytes()).hexdigest()
    if isinstance(thing, torch.Generator):
        return below(thing.get_state())
    if isinstance(thing, type | types.BuiltinFunctionType | types.ModuleType):
        return getattr(thing, "__qualname__", thing.__name__)
    if isinstance(thing, functools.partial):
        return below(thing.func), below(thing.args), below(thing.keywords)
    if isinstance(thing, types.MethodType):
        return thing.__func__.__qualname__, below(thing.__self__)
    if isinstance(thing, types.FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        return thing.__qualname__, [below(cell) for cell in cells], below(thing.__defaults__)
    if isinstance(thing, Optimizer):
        groups = [{k: v for k, v in group.items() if k != "params"} for group in thing.param_groups]
        return type(thing).__qualname__, below(groups)
    if isinstance(thing, nn.Module):
        own = {k: v for k, v in vars(thing).items() if k not in OF_EVERY_MODULE}
        children = dict(thing.named_children())
        return type(thing).__qualname__, repr(thing), below(thing.state_dict()), below(own), below(children)
    if isinstance(thing, Mapping):
        return {str(key): below(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set | frozenset):
        return [below(each) for each in thing]
    if hasattr(thing, "__dict__"):
        return type(thing).__qualname__, {name: below(value) for name, value in sorted(vars(thing).items())}
    if hasattr(thing, "__slots__"):
        return type(thing).__qualname__, [below(getattr(thing, name, None)) for name in thing.__slots__]
    raise TypeError(f"how to describe {type(thing)}?")
