"""What sparse training asks of a layer, however the layer holds its weights."""

from typing import Protocol

from torch import Tensor
from torch.optim import Optimizer

from petlsparse.sparsity.topology import TopologyUpdate


class SparseLayer(Protocol):
    """A layer with a fixed number of active weights, all others being zero.

    Positions are indices into the flattened (row-major) weight. Weights and gradients of active entries come in the
    order of their positions, so that all ways of holding them give a criterion the same vectors.
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

    def active(self) -> Tensor:
        """Positions of the active weights, int64 (n,), ascending."""
        ...

    def mask(self) -> Tensor:
        """A new boolean tensor, shaped like the weight."""
        ...

    def weights(self, active: Tensor) -> Tensor:
        """The active weights, (n,). `active` is what `active()` said, here and below."""
        ...

    def gradients(self, active: Tensor) -> Tensor:
        """Gradients of the active weights in the last backward pass, (n,); zero if there was none."""
        ...

    def dense_gradient(self) -> Tensor:
        """Gradient of every weight in the last backward pass, were it active, (N,)."""
        ...

    def snapshot_gradients(self) -> None:
        """Go on answering with the gradients of now, whatever the optimizer writes into them, until `free`."""
        ...

    def replace(self, active: Tensor, update: TopologyUpdate, *, keep_regrown: bool) -> None:
        """Take on a new topology. Values and optimizer state follow their owners; grown weights start from zero."""
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
