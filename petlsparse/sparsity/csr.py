"""A sparse layer that computes with its active weights only: puts a `CsrLayer` in the place of an ordinary one.

Gradients and optimizer state are those of the parameter `values`, so all of them are as few as the active weights. At
an update they move with their weights.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.sparsity.csr_conv import CsrConv2d
from petlsparse.sparsity.csr_layer import CsrLayer
from petlsparse.sparsity.csr_linear import CsrLinear
from petlsparse.sparsity.indices import indices_of, mask_of
from petlsparse.sparsity.replacement import replace_layer
from petlsparse.sparsity.topology import LayerView, TopologyUpdate, surviving


class Csr:
    """Keeps `CsrLayer.values` and whatever belongs to them in the order of the active indices.

    Args:
        layer: what is in the model.
        updates: whether `dense_gradient` will be asked for.
    """

    def __init__(self, layer: CsrLayer, *, updates: bool) -> None:
        self.layer = layer
        self.size = math.prod(layer.shape)
        self.count = len(layer.values)
        self._optimizer: Optimizer | None = None
        self._snapshot: Tensor | None = None
        layer.records = updates

    def bind(self, optimizer: Optimizer) -> None:
        """Take note of the optimizer whose state moves with the values."""
        self._optimizer = optimizer

    def mask(self) -> Tensor:
        """A new boolean tensor, shaped like the weight, made from the indices."""
        return mask_of(self.layer.active(), self.size).view(self.layer.shape)

    def active(self) -> Tensor:
        """Made from the indices that the layer has."""
        return self.layer.active()

    def weights(self) -> Tensor:
        """The values as they are."""
        return self.layer.values.detach()

    def view(self, statistics: Mapping[str, Tensor]) -> LayerView:
        """With a dense product for gradients elsewhere, from what the backward pass left."""
        of_active, outputs = (self.active(), self.weights(), self.gradients()), self.layer.shape[0]
        return LayerView(*of_active, [self.count], outputs, self.size, self._dense_gradient, statistics)

    def _dense_gradient(self) -> Tensor:
        return self.layer.dense_gradient().flatten()

    def gradients(self) -> Tensor:
        """Those of the values."""
        if self._snapshot is not None:
            return self._snapshot
        gradient = self.layer.values.grad
        return torch.zeros_like(self.layer.values, requires_grad=False) if gradient is None else gradient

    def snapshot_gradients(self) -> None:
        """Copy the gradients: some optimizers write into them."""
        self._snapshot = self.gradients().clone()

    @torch.no_grad()
    def replace(self, update: TopologyUpdate, *, keep_regrown: bool) -> None:
        """Move values and optimizer state to where their weights are now."""
        source, target = surviving(self.layer.active(), update, self.size, keep_regrown=keep_regrown)
        for tensor in (self.layer.values, *self._state()):
            tensor.copy_(torch.zeros_like(tensor).index_copy_(0, target, tensor.index_select(0, source)))
        self.layer.set_active(update.active)

    def recompute_gradients(self) -> None:
        """Compute the gradients of the new active weights: another sampled product."""
        if self.layer.values.grad is not None:
            self.layer.values.grad = self.layer.gradient()

    def after_step(self) -> None:
        """Nothing to do: there are no inactive weights to hold at zero."""

    def free(self) -> None:
        """Forget the copy, and what the backward pass left behind."""
        self._snapshot = None
        self.layer.free()

    def state(self) -> dict[str, Tensor]:
        """Nothing: the topology is among the model's buffers."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to load. Raises ValueError if the topology among the model's buffers, loaded before, is none."""
        self.layer.check_topology()

    def _state(self) -> list[Tensor]:
        """The optimizer's buffers that have an entry per value."""
        values, state = self.layer.values, {} if self._optimizer is None else self._optimizer.state
        buffers = state.get(self.layer.values, {}).values()
        return [buffer for buffer in buffers if isinstance(buffer, Tensor) and buffer.shape == values.shape]


def convertible(model: nn.Module) -> list[str]:
    """Names of the layers that a `CsrLayer` can replace: those on the CPU whose weight no other layer uses.

    Linear layers, and convolutions of images padded with zeros or not at all, without groups and dilation.
    """
    uses = Counter(parameter for module in model.modules() for parameter in module.parameters(recurse=False))
    return [
        name
        for name, module in model.named_modules()
        if name and _has_counterpart(module) and module.weight.is_cpu and uses[module.get_parameter("weight")] == 1
    ]


def _has_counterpart(module: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    # A subclass may be used by the module around it in another way than by calling it (as in torch's own attention).
    if type(module) is nn.Conv2d:
        plain = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
        return plain and not isinstance(module.padding, str)
    return type(module) is nn.Linear


def convert(model: nn.Module, name: str, mask: Tensor) -> CsrLayer:
    """The layer with the weights under `mask`, shaped like the weight, put wherever the layer `name` is in `model`."""
    dense = model.get_submodule(name)
    assert _has_counterpart(dense), name
    bias, active = dense._parameters["bias"], indices_of(mask.flatten())
    sparse: CsrLayer
    if isinstance(dense, nn.Linear):
        sparse = CsrLinear(dense.weight, bias, active)
    else:
        assert isinstance(dense.padding, tuple), name
        sparse = CsrConv2d(dense.weight, bias, active, stride=dense.stride, padding=dense.padding)
    replace_layer(model, dense, sparse)
    return sparse


def to_dense_state_dict(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Tensors of a model with `CsrLayer` layers by the names and shapes that they have in the ordinary network.

    Args:
        tensors: by name, among them "<layer>.values", "<layer>.rows" and "<layer>.columns"; others are left alone.
        shapes: layer name -> shape of its weight, for the sparse layers at least.
    """
    dense: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if f"{layer}.values" not in tensors or part not in ("values", "rows", "columns"):
            dense[name] = tensor
        elif part == "values":
            out, *rest = shapes[layer]
            row = torch.arange(out, device=tensor.device).repeat_interleave(tensors[f"{layer}.rows"].diff())
            weight = tensor.new_zeros(out, math.prod(rest))
            weight[row, tensors[f"{layer}.columns"].long()] = tensor
            dense[f"{layer}.weight"] = weight.view(out, *rest)
    return dense
