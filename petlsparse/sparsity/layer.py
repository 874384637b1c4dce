"""What sparse training asks of a layer, however the layer holds its weights."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor
from torch.optim import Optimizer

from petlsparse.sparsity.topology import LayerView, TopologyUpdate


class SparseLayer(Protocol):
    """A layer with a fixed number of active weights, all others being zero.

    Indices are those of the flattened (row-major) weight. Weights and gradients of active entries come in the
    order of their indices, so that all ways of holding them give a criterion the same vectors.
    """

    @property
    def size(self) -> int:
        """Number N of weights, active or not."""
        ...

    @property
    def count(self) -> int:
        """Number n of active weights."""
        ...

    def bind(self, optimizer: Optimizer) -> None:
        """Remember whose state belongs to the weights."""
        ...

    def mask(self) -> Tensor:
        """A new boolean tensor, shaped like the weight."""
        ...

    def active(self) -> Tensor:
        """Indices of the active weights, int64 (n,), ascending; not to be changed."""
        ...

    def weights(self) -> Tensor:
        """The active weights, (n,); not to be changed."""
        ...

    def gradients(self) -> Tensor:
        """Their gradients of the last backward pass, (n,), or zeros; not to be changed."""
        ...

    def view(self, statistics: Mapping[str, Tensor]) -> LayerView:
        """What an update sees: one row, with what the criterion keeps of the active weights."""
        ...

    def snapshot_gradients(self) -> None:
        """Go on answering with the gradients of now, whatever the optimizer writes into them, until `free`."""
        ...

    def replace(self, update: TopologyUpdate, *, keep_regrown: bool) -> None:
        """Take on a new topology. Surviving weights keep value and optimizer state, grown ones start from zero."""
        ...

    def recompute_gradients(self) -> None:
        """After `replace`, between backward and optimizer step: give every active weight the gradient of this step."""
        ...

    def after_step(self) -> None:
        """Hold inactive weights at zero."""
        ...

    def free(self) -> None:
        """Drop what only an update of this step would have needed."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a continuation needs beyond the tensors of model and optimizer."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        ...
