"""Several models of one architecture as one: each keeps its parameters, which become rows of common tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from petlsparse.cohorts.linear import stacked_linear
from petlsparse.cohorts.parameters import ALIGNMENT, StackedParameter, stack_parameters


class Incompatible(Exception):
    """These cannot be trained as one; says why."""


DRAWS = "dropout draws its numbers one run at a time"


class Stack(Protocol):
    """M models as one."""

    @property
    def parameters(self) -> Sequence[StackedParameter]:
        """All that is trained, of all models."""
        ...

    def __call__(self, inputs: Any, batch_index: Tensor) -> Tensor:
        """Logits (M, B, classes) of U batches (U, B, ...); `batch_index`, int64 (M,), is each model's batch."""
        ...

    def train(self, mode: bool) -> None:
        """Training or evaluation mode of all."""
        ...


class StackedModels:
    """M models that differ in their weights alone.

    A plain stack of linear layers is computed by batched matrix products; everything else by `torch.func.vmap`, which
    makes grouped convolutions of convolutions. No member sees anything of another. On the CPU the products of a
    member are the same to the last bit with any other members and by itself (see `parameters.ALIGNMENT`).

    Args:
        models: on one device. Their parameters and buffers become views of common tensors.

    Raises:
        Incompatible: the models differ, draw random numbers in training, or have a linear layer of width one.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self._template, self._members = models[0], len(models)
        if any(repr(model) != repr(self._template) for model in models):  # shapes, kernels, strides and all
            raise Incompatible("their networks differ")
        if any(isinstance(module, _DropoutNd) and module.p > 0 for module in self._template.modules()):
            raise Incompatible(DRAWS)
        if any(isinstance(module, nn.Linear) and 1 in module.weight.shape for module in self._template.modules()):
            raise Incompatible("products with one row or column round otherwise with other members")
        own = [dict(model.named_parameters()) for model in models]
        all_members = range(len(models))
        self._parameters = {name: stack_parameters([each[name] for each in own], all_members) for name in own[0]}
        self.parameters = [stacked for stacked in self._parameters.values() if stacked.rows.requires_grad]
        self._buffers = {
            name: _shared_data([dict(model.named_buffers())[name] for model in models])
            for name, _ in self._template.named_buffers()
        }
        self._layers = _linear_layers(self._template)

    def train(self, mode: bool) -> None:
        """Put the one module that computes for all into training or evaluation mode."""
        self._template.train(mode)

    def __call__(self, inputs: Tensor, batch_index: Tensor) -> Tensor:
        """Logits (M, B, classes) of U batches (U, B, ...); see `Stack`."""
        shared = len(inputs) == 1
        if not shared and len(inputs) < self._members:
            inputs = inputs.index_select(0, batch_index)
        if self._layers is not None:
            return self._by_products(inputs)
        state = {name: stacked.whole() for name, stacked in self._parameters.items()} | self._buffers
        try:
            return vmap(self._one, in_dims=(0, None if shared else 0))(state, inputs[0] if shared else inputs)
        except RuntimeError as error:
            if "randomness" in str(error):  # of a layer that is no dropout by its class
                raise Incompatible(DRAWS) from error
            raise

    def _one(self, state: dict[str, Tensor], inputs: Tensor) -> Tensor:
        logits: Tensor = functional_call(self._template, state, (inputs,))
        return logits

    def _by_products(self, inputs: Tensor) -> Tensor:
        batch = inputs.shape[1]
        x = inputs.flatten(2)
        if batch % ALIGNMENT:
            x = functional.pad(x, (0, 0, 0, -batch % ALIGNMENT))
        x = x.expand(self._members, -1, -1)
        for name, layer in self._layers or ():
            if isinstance(layer, nn.Linear):
                x = stacked_linear(x, self._parameters[f"{name}.weight"], self._parameters.get(f"{name}.bias"))
            elif not isinstance(layer, nn.Flatten):
                x = layer(x)
        return x[:, :batch]


def _shared_data(tensors: Sequence[Tensor]) -> Tensor:
    whole = torch.stack(list(tensors))
    for tensor, part in zip(tensors, whole, strict=True):
        tensor.data = part
    return whole


def _linear_layers(model: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """The layers of a network that is linear layers with elementwise functions between them; None of any other."""
    if type(model) is not nn.Sequential:
        return None
    layers = list(model.named_children())
    known = (nn.Flatten, nn.Linear, nn.ReLU, nn.Identity, nn.Dropout)  # dropout of probability 0
    if any(type(layer) not in known for _, layer in layers):
        return None
    flat = [(i, layer.start_dim, layer.end_dim) for i, (_, layer) in enumerate(layers) if isinstance(layer, nn.Flatten)]
    return layers if flat == [(0, 1, -1)] else None
