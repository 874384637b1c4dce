"""Adapters, linear probe and full fine-tuning as the training loop's method: nothing to do around a step."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.adapters.adapter import Adapter
from petlsparse.adapters.models import FullFineTuning, PlacedAdapters


class Transfer:
    """Trains whatever of the model is trainable, by the optimizer alone. Satisfies the loop's `Method` protocol.

    It has no state besides weights: a checkpoint needs the model's parameters with `requires_grad` and nothing else
    of it, a frozen backbone being found again by its name.
    """

    def __init__(self, model: PlacedAdapters | FullFineTuning):
        self.model: nn.Module = model

    def parameters(self) -> list[nn.Parameter]:
        """Adapters and head; with full fine-tuning, everything."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def bind(self, optimizer: Optimizer) -> None:
        """Nothing to do."""

    def after_backward(self, step: int) -> None:
        """Nothing to do."""

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def after_epoch(self, epoch: int) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Tensor]:
        """Nothing: see the class."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to do."""

    def rows(self) -> dict[str, list[dict[str, object]]]:
        """Nothing is recorded on the way; `edge_rows` tells about trained adapters at the end."""
        return {}


def edge_rows(model: nn.Module) -> list[dict[str, object]]:
    """Rows of the `edges` table for the adapters as they are now; none for a model without adapters.

    Per edge: "scale", the trained alpha, and "update_norm", the Frobenius norm of alpha W_down W_up, which is 0 for
    a fresh adapter and tells how much a trained one has come to do.
    """
    if not isinstance(model, PlacedAdapters):
        return []
    rows: list[dict[str, object]] = []
    for edge in model.edges:
        adapter = model.adapters[str(edge)]
        assert isinstance(adapter, Adapter)
        for score, value in {"scale": adapter.alpha.item(), "update_norm": adapter.update_norm()}.items():
            rows.append({**edge._asdict(), "kind": edge.kind, "score_name": score, "value": value})
    return rows
