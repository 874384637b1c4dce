"""Dense training as a method: everything trains, nothing happens around the optimizer step."""

from torch import Tensor, nn
from torch.optim import Optimizer


class DenseTraining:
    """The upper reference of every sparse method."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def parameters(self) -> list[nn.Parameter]:
        """All of them."""
        return list(self.model.parameters())

    def bind(self, optimizer: Optimizer) -> None:
        """Nothing to remember."""

    def after_backward(self, step: int) -> None:
        """Nothing to do."""

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def after_epoch(self, epoch: int) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Tensor]:
        """None beyond weights and optimizer."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to load."""

    def rows(self) -> dict[str, list[dict[str, object]]]:
        """None."""
        return {}
