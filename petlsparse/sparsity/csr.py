"""A sparse layer that computes with its active weights only: puts a `CsrLinear` in the place of a linear layer.

Gradients and optimizer state are those of the parameter `values`, so all of them are as few as the active weights. At
an update they move with their owners.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.sparsity.csr_linear import CsrLinear, FollowingLinear
from petlsparse.sparsity.positions import marks, positions
from petlsparse.sparsity.topology import LayerUpdate, lasting


class Csr:
    """Keeps `CsrLinear.values` and whatever belongs to them in the order of the active positions.

    Args:
        linear: what is in the model.
        updates: whether `dense_gradient` will be asked for.
    """

    def __init__(self, linear: CsrLinear, *, updates: bool) -> None:
        self.linear = linear
        self.size = linear.out_features * linear.in_features
        self.count = len(linear.values)
        self._optimizer: Optimizer | None = None
        self._held: Tensor | None = None
        linear.records = updates

    def bind(self, optimizer: Optimizer) -> None:
        """Remember whose state to move."""
        self._optimizer = optimizer

    def active(self) -> Tensor:
        """Positions of the active weights."""
        return self.linear.active()

    def mask(self) -> Tensor:
        """Made for the occasion."""
        return marks(self.active(), self.size).view(self.linear.out_features, self.linear.in_features)

    def weights(self, active: Tensor) -> Tensor:
        """The values as they are."""
        return self.linear.values.detach()

    def gradients(self, active: Tensor) -> Tensor:
        """Those of the values."""
        if self._held is not None:
            return self._held
        gradient = self.linear.values.grad
        return torch.zeros_like(self.linear.values, requires_grad=False) if gradient is None else gradient

    def dense_gradient(self) -> Tensor:
        """A dense product, from what the backward pass left behind."""
        return self.linear.dense_gradient().flatten()

    def hold_gradients(self) -> None:
        """Copy them: some optimizers write into gradients."""
        self._held = self.gradients(self.linear.columns).clone()

    @torch.no_grad()
    def replace(self, active: Tensor, update: LayerUpdate, *, keep_regrown: bool) -> None:
        """Move values and optimizer state to where their owners are now."""
        source, target = lasting(active, update, self.size, keep_regrown=keep_regrown)
        for tensor in (self.linear.values, *self._state()):
            tensor.copy_(torch.zeros_like(tensor).index_copy_(0, target, tensor.index_select(0, source)))
        self.linear.set_active(update.active)

    def renew_gradients(self) -> None:
        """Another sampled product, over the new topology."""
        if self.linear.values.grad is not None:
            self.linear.values.grad = self.linear.gradient()

    def after_step(self) -> None:
        """There are no inactive weights to hold at zero."""

    def release(self) -> None:
        """Forget the copy, and what the backward pass left behind."""
        self._held = None
        self.linear.forget()

    def state(self) -> dict[str, Tensor]:
        """Nothing: the topology is among the model's buffers."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to load."""

    def _state(self) -> list[Tensor]:
        """The optimizer's buffers that have an entry per value."""
        values, state = self.linear.values, {} if self._optimizer is None else self._optimizer.state
        buffers = state.get(self.linear.values, {}).values()
        return [buffer for buffer in buffers if isinstance(buffer, Tensor) and buffer.shape == values.shape]


def convertible(model: nn.Module) -> list[str]:
    """Names of the layers that a `CsrLinear` can replace: linear ones on the CPU whose weight nobody else uses."""
    owners = Counter(parameter for module in model.modules() for parameter in module.parameters(recurse=False))
    return [
        name
        for name, module in model.named_modules()
        # A subclass may be used by its owner in another way than by calling it (as in torch's own attention).
        if name and type(module) is nn.Linear and module.weight.is_cpu and owners[module.get_parameter("weight")] == 1
    ]


def convert(model: nn.Module, name: str, mask: Tensor) -> CsrLinear:
    """Put a `CsrLinear` with the weights under `mask` (out, in) wherever the linear layer `name` is in `model`."""
    linear = model.get_submodule(name)
    assert type(linear) is nn.Linear, name
    sparse = CsrLinear(linear.weight, linear.bias, positions(mask.flatten()))
    sparse.train(linear.training)
    for place, module in list(model.named_modules(remove_duplicate=False)):
        if module is linear:
            model.set_submodule(place, sparse)
    return sparse


def accompany(model: nn.Module) -> None:
    """Let the linear layers that stay dense follow the memory layout of the csr ones."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FollowingLinear


def dense_tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Tensors of a model with `CsrLinear` layers as those of the ordinary network.

    Args:
        tensors: by name, among them "<layer>.values", "<layer>.rows" and "<layer>.columns"; others are left alone.
        shapes: layer name -> shape (out, in) of its weight, for the sparse layers at least.
    """
    dense: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if f"{layer}.values" not in tensors or part not in ("values", "rows", "columns"):
            dense[name] = tensor
        elif part == "values":
            out_features, in_features = shapes[layer]
            row = torch.arange(out_features, device=tensor.device).repeat_interleave(tensors[f"{layer}.rows"].diff())
            weight = tensor.new_zeros(out_features, in_features)
            weight[row, tensors[f"{layer}.columns"].long()] = tensor
            dense[f"{layer}.weight"] = weight
    return dense
