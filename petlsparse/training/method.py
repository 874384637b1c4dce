"""What the loop knows of a method: parameters to train, three hooks, its own state, rows to record."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer


class Method(Protocol):
    """One arm of a comparison, as the training loop sees it.

    Pruning criteria need both hooks around the optimizer step: gradient criteria pair the weights before the step
    with the gradient taken at them, the others score the weights after it (arXiv 2306.12230, released code).
    """

    @property
    def model(self) -> nn.Module:
        """Maps images (B, C, H, W) float to logits (B, classes)."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """The parameters to train."""
        ...

    def bind(self, optimizer: Optimizer) -> None:
        """Take note of the optimizer: called once, before the first step."""
        ...

    def updates_topology(self, step: int) -> bool:
        """Whether weights are pruned at this step, counted from 1. An evaluation due then comes before the step."""
        ...

    def after_backward(self, step: int) -> None:
        """Between backward and optimizer step; `step` counts optimizer steps from 1."""
        ...

    def after_step(self, step: int) -> None:
        """After the optimizer step."""
        ...

    def after_epoch(self, epoch: int) -> None:
        """After the last step of an epoch; `epoch` counts from 1."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All a bit-identical continuation needs beyond weights and optimizer: masks, generator states, counters."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        ...

    def rows(self) -> dict[str, list[dict[str, object]]]:
        """Rows recorded since the last call, by table name ("topology", "edges")."""
        ...


class StandardTraining:
    """The method without a method: trains whatever of a model is trainable, by the optimizer alone.

    Dense training, adapters in a frozen backbone, linear probe and full fine-tuning are all of this kind.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def parameters(self) -> list[nn.Parameter]:
        """All that require a gradient."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def bind(self, optimizer: Optimizer) -> None:
        """Nothing to remember."""

    def updates_topology(self, step: int) -> bool:
        """Never."""
        return False

    def after_backward(self, step: int) -> None:
        """Nothing to do."""

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def after_epoch(self, epoch: int) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Tensor]:
        """Nothing beyond weights and optimizer."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to load."""

    def rows(self) -> dict[str, list[dict[str, object]]]:
        """No rows."""
        return {}
