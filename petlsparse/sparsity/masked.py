"""A sparse layer as a dense one over zeros.

The weight is masked in its data, not in the graph: the forward pass is an ordinary dense one, and gradients arrive at
inactive weights too, where gradient growth reads them. Works for every layer on every device.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.sparsity.indices import indices_of
from petlsparse.sparsity.topology import LayerView, TopologyUpdate


class Masked:
    """Multiplies a weight by zeros and ones after every optimizer step.

    Args:
        weight: of a linear or convolutional layer; masked at once.
        mask: boolean, shaped like the weight.
        masks_state: whether the optimizer's state is zero, too, wherever a weight is inactive.
    """

    def __init__(self, weight: nn.Parameter, mask: Tensor, *, masks_state: bool) -> None:
        self.weight = weight
        self.size = weight.numel()
        self.masks_state = masks_state
        self._optimizer: Optimizer | None = None
        self._snapshot: Tensor | None = None
        self._active: Tensor | None = None
        self._set_mask(mask)
        self.after_step()

    def bind(self, optimizer: Optimizer) -> None:
        """Take note of the optimizer whose state is masked."""
        self._optimizer = optimizer

    def mask(self) -> Tensor:
        """A copy of the mask, boolean, shaped like the weight."""
        return self._mask.clone()

    def active(self) -> Tensor:
        """Looked for once, and kept until the next update."""
        if self._active is None:
            self._active = indices_of(self._mask.flatten())
        return self._active

    def weights(self) -> Tensor:
        """Gathered from the dense weight."""
        return self.weight.detach().flatten().index_select(0, self.active())

    def gradients(self) -> Tensor:
        """Gathered from the dense gradient."""
        return self._gradient().index_select(0, self.active())

    def view(self, statistics: Mapping[str, Tensor]) -> LayerView:
        """With the dense gradient as it is."""
        of_active = self.active(), self.weights(), self.gradients()
        return LayerView(*of_active, [self.count], len(self.weight), self.size, self._gradient, statistics)

    def _gradient(self) -> Tensor:
        if self._snapshot is not None:
            return self._snapshot
        if self.weight.grad is None:
            return torch.zeros_like(self.weight, requires_grad=False).flatten()
        return self.weight.grad.flatten()

    def snapshot_gradients(self) -> None:
        """Copy the gradient: some optimizers write into it."""
        self._snapshot = self._gradient().clone()

    @torch.no_grad()
    def replace(self, update: TopologyUpdate, *, keep_regrown: bool) -> None:
        """Inactive weights are zero already, so that to erase all but the kept makes every grown weight start so."""
        self._active = None
        mask = self._mask.view(-1)
        for factors in (mask, self._factor):
            _fill(factors, update.pruned, 0)
            _fill(factors, update.grown, 1)
        gone = update.pruned[indices_of(~mask[update.pruned])] if keep_regrown else update.pruned
        for tensor in self._masked_tensors():
            _fill(tensor, gone, 0)

    def recompute_gradients(self) -> None:
        """Nothing to do: the dense gradient has them."""

    @torch.no_grad()
    def after_step(self) -> None:
        """Multiply weight and optimizer state by the mask."""
        if self.count < self.size:
            for tensor in self._masked_tensors():
                tensor.mul_(self._factor)

    def free(self) -> None:
        """Forget the copy of the gradient."""
        self._snapshot = None

    def state(self) -> dict[str, Tensor]:
        """The mask, as "mask"."""
        return {"mask": self.mask()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take on the mask. Raises ValueError if it is not one of this layer's density."""
        mask, own = state["mask"], self._mask
        if (mask.shape, mask.dtype) != (own.shape, own.dtype) or int(mask.count_nonzero()) != self.count:
            raise ValueError(f"a mask that is not one of {self.count} active weights in {tuple(own.shape)}")
        self._set_mask(mask.clone())

    def share(self, mask: Tensor, factor: Tensor) -> None:
        """Go on with these tensors, which somebody else may change: the mask, and the same as what to multiply by."""
        self._mask, self._factor = mask, factor

    def _set_mask(self, mask: Tensor) -> None:
        self._active = None
        self._mask = mask.to(self.weight.device).contiguous()
        self.count = int(self._mask.count_nonzero())
        # Multiplying by floats is several times faster than by booleans, and this happens at every step.
        self._factor = torch.empty_like(self.weight, requires_grad=False).copy_(self._mask)

    def _masked_tensors(self) -> Iterator[Tensor]:
        """The weight, and the optimizer state that is zero where the weight is inactive."""
        yield self.weight
        yield from self.state_buffers()

    def state_buffers(self) -> Iterator[Tensor]:
        """The optimizer state that is zero where the weight is inactive."""
        if self.masks_state and self._optimizer is not None:
            for buffer in self._optimizer.state.get(self.weight, {}).values():
                if isinstance(buffer, Tensor) and buffer.shape == self.weight.shape:
                    yield buffer


def _fill(tensor: Tensor, where: Tensor, value: int) -> None:
    if tensor.is_contiguous():
        tensor.view(-1).index_fill_(0, where, value)
    else:  # channels last
        tensor[torch.unravel_index(where, tensor.shape)] = value
