"""Several models of one architecture as one: each keeps its parameters, which become slices of common tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from petlsparse.training.evaluation import EVALUATION_BATCH, Score
from petlsparse.training.feeds import Feed


class Incompatible(Exception):
    """These cannot be trained as one; says why."""


@dataclass(frozen=True)
class Slot:
    """One parameter of several members: a leaf (K, ...), slice k of which is the data of the k-th owner's parameter."""

    stacked: nn.Parameter
    owners: tuple[int, ...]
    """Members, ascending."""
    parameters: tuple[nn.Parameter, ...]
    """Theirs, in the same order."""


class Stack(Protocol):
    """M models as one."""

    @property
    def slots(self) -> Sequence[Slot]:
        """All that is trained."""
        ...

    def __call__(self, inputs: Any, of: Tensor) -> Tensor:
        """Logits (M, B, classes) of U batches (U, B, ...); `of`, int64 (M,), says which of them is whose."""
        ...

    def train(self, mode: bool) -> None:
        """Training or evaluation mode of all."""
        ...


class StackedModels:
    """M models that differ in their weights alone.

    A plain stack of linear layers is computed by batched matrix products; everything else by `torch.func.vmap`, which
    makes grouped convolutions of convolutions. No member sees anything of another.

    Args:
        models: on one device. Their parameters and buffers become views of common tensors.

    Raises:
        Incompatible: the models differ, or draw random numbers in training.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self._template, self._members = models[0], len(models)
        if any(repr(model) != repr(self._template) for model in models):  # shapes, kernels, strides and all
            raise Incompatible("their networks differ")
        if any(isinstance(module, nn.Dropout) and module.p > 0 for module in self._template.modules()):
            raise Incompatible("dropout draws its numbers one run at a time")
        own = [dict(model.named_parameters()) for model in models]
        everyone = tuple(range(len(models)))
        self._parameters = {name: stacked([parameters[name] for parameters in own]) for name in own[0]}
        self.slots = [
            Slot(tensor, everyone, tuple(parameters[name] for parameters in own))
            for name, tensor in self._parameters.items()
            if tensor.requires_grad
        ]
        self._buffers = {
            name: _stacked_data([dict(model.named_buffers())[name] for model in models])
            for name, _ in self._template.named_buffers()
        }
        self._layers = _linear_layers(self._template)

    def train(self, mode: bool) -> None:
        """Of the one module that computes for all."""
        self._template.train(mode)

    def __call__(self, inputs: Tensor, of: Tensor) -> Tensor:
        """Logits (M, B, classes)."""
        shared = len(inputs) == 1
        if not shared and len(inputs) < self._members:
            inputs = inputs.index_select(0, of)
        if self._layers is not None:
            return self._by_products(inputs)
        state = {**self._parameters, **self._buffers}
        logits: Tensor = vmap(self._one, in_dims=(0, None if shared else 0))(state, inputs[0] if shared else inputs)
        return logits

    def _one(self, state: dict[str, Tensor], inputs: Tensor) -> Tensor:
        logits: Tensor = functional_call(self._template, state, (inputs,))
        return logits

    def _by_products(self, x: Tensor) -> Tensor:
        for name, layer in self._layers or ():
            if isinstance(layer, nn.Flatten):
                x = x.flatten(2)
            elif isinstance(layer, nn.Linear):
                x, weight = x.expand(self._members, -1, -1), self._parameters[f"{name}.weight"].mT
                bias = self._parameters.get(f"{name}.bias")
                x = torch.bmm(x, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)
            else:
                x = layer(x)
        return x


def stacked(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """A new leaf (K, ...) with the parameters' values; they become views of it."""
    return nn.Parameter(_stacked_data(parameters), requires_grad=parameters[0].requires_grad)


def _stacked_data(tensors: Sequence[Tensor]) -> Tensor:
    whole = torch.stack([tensor.detach() for tensor in tensors])
    for tensor, part in zip(tensors, whole, strict=True):
        tensor.data = part
    return whole


def _linear_layers(model: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """The layers of a network that is linear layers with elementwise functions between them; None of any other."""
    if type(model) is not nn.Sequential:
        return None
    layers = list(model.named_children())
    flat = [layer for _, layer in layers if isinstance(layer, nn.Flatten)]
    known = (nn.Flatten, nn.Linear, nn.ReLU, nn.Identity, nn.Dropout)  # dropout of probability 0
    if any(type(layer) not in known for _, layer in layers):
        return None
    if any((layer.start_dim, layer.end_dim) != (1, -1) for layer in flat):
        return None
    return layers


def member_losses(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of every member, (M,), from logits (M, B, classes) and labels (M, B)."""
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view(labels.shape).mean(1)


@torch.no_grad()
def evaluate_stack(
    stack: Stack, members: int, feed: Feed, *, autocast: Callable[[], AbstractContextManager[None]] = nullcontext
) -> list[Score]:
    """`evaluate` for all members at once; the stack is left in training mode."""
    stack.train(False)
    count, device = len(feed.labels), feed.labels.device
    first = torch.zeros(members, dtype=torch.int64, device=device)
    loss = torch.zeros(members, dtype=torch.float64, device=device)
    correct = torch.zeros(members, dtype=torch.int64, device=device)
    for start in range(0, count, EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        labels = feed.labels[part].expand(members, -1)
        with autocast():
            logits = stack(batched(feed.batch(part), 1), first)
        loss += member_losses(logits, labels) * labels.shape[1]
        correct += (logits.argmax(2) == labels).sum(1)
    stack.train(True)
    return [Score(a / count, 100 * b / count) for a, b in zip(loss.tolist(), correct.tolist(), strict=True)]


def batched(inputs: Any, batches: int) -> Any:
    """Inputs of `batches` batches on end, (U * B, ...), as (U, B, ...); of each value if they are a dict."""
    if isinstance(inputs, dict):
        return {key: batched(value, batches) for key, value in inputs.items()}
    return inputs.unflatten(0, (batches, -1))
