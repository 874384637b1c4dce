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
        """Called once, when the optimizer exists."""
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
