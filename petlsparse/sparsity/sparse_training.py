"""Sparse training as a method: static with fixed masks, dynamic with topology updates (arXiv 2306.12230).

Weights are masked in their data, not in the graph: the forward pass is an ordinary dense one over zeros, and gradients
arrive at inactive positions too, where gradient growth reads them.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.topology import LayerUpdate, initial_mask, update_layer
from petlsparse.sparsity.updates import TopologyUpdates


class SparseTraining:
    """Keeps the weights of every maskable layer to an exact number of active ones.

    Masks are applied after every optimizer step. An update happens on one side of the optimizer step of its iteration
    (`TopologyUpdates.before_step`), with the gradient of that iteration; no optimizer step is lost. A layer that is
    dense in a sparse network is exempt from updates; a network that is dense throughout is updated throughout.

    Deviations from the released code, which are its options here: grown weights restart from zero even if just pruned
    (`TopologyUpdates.regrown`), and optimizer state is zero wherever a weight is inactive (`state`), so that grown
    weights have no history and a truly sparse backend would train the same.

    Args:
        model: trained in place; its weights are masked at once.
        counts: layer name -> active weights, for all layers of `maskable(model)`.
        mask_generator: source of the initial masks, used here and never again.
        updates: None trains with the initial masks throughout.
        state: "masked", or "dense" to leave the optimizer's state alone.
    """

    def __init__(
        self,
        model: nn.Module,
        counts: Mapping[str, int],
        *,
        mask_generator: torch.Generator,
        updates: TopologyUpdates | None = None,
        state: Literal["masked", "dense"] = "masked",
    ) -> None:
        self.model = model
        self.updates = updates
        self.masks: dict[str, Tensor] = {}
        self._weights = maskable(model)
        self._factors: dict[str, Tensor] = {}
        self._explored: dict[str, Tensor] = {}
        self._optimizer: Optimizer | None = None
        self._masks_state = state == "masked"
        self._gradients: dict[str, Tensor] = {}
        self._rows: list[dict[str, object]] = []
        full = {name for name, weight in self._weights.items() if counts[name] == weight.numel()}
        self._exempt = full if len(full) < len(self._weights) else set()
        for name, weight in self._weights.items():
            self._set_mask(name, initial_mask(weight.shape, counts[name], mask_generator).to(weight.device))
            self._explored[name] = self.masks[name].clone()
            self._multiply(name, self._factors[name])
            self._record(0, name)

    def parameters(self) -> list[nn.Parameter]:
        """All of them: inactive weights are held at zero, not withheld."""
        return list(self.model.parameters())

    def bind(self, optimizer: Optimizer) -> None:
        """Remember whose state to mask."""
        self._optimizer = optimizer

    def after_backward(self, step: int) -> None:
        """Update with (w_t, g_t), or keep g_t for the update after the step: optimizers may write into gradients."""
        if self.updates is None or not self.updates.due(step):
            return
        gradients = {name: _gradient(weight) for name, weight in self._weights.items()}
        if self.updates.before_step:
            self._update(self.updates, step, gradients)
        else:
            self._gradients = {name: gradient.clone() for name, gradient in gradients.items()}

    def after_step(self, step: int) -> None:
        """Apply the masks; update with (w_{t+1}, g_t) where that is the order."""
        for name, factor in self._factors.items():
            self._multiply(name, factor)
        if self.updates is not None and self._gradients:
            self._update(self.updates, step, self._gradients)
            self._gradients = {}

    def after_epoch(self, epoch: int) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Tensor]:
        """Masks, what they explored so far, and the state of the updates' generator."""
        state = {f"mask.{name}": mask for name, mask in self.masks.items()}
        state |= {f"explored.{name}": explored for name, explored in self._explored.items()}
        if self.updates is not None:
            state["generator"] = self.updates.generator.get_state()
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state`; rows recorded before, such as those of the initial masks, are forgotten."""
        for name in self._weights:
            self._set_mask(name, state[f"mask.{name}"].clone())
            self._explored[name] = state[f"explored.{name}"].clone()
        if self.updates is not None:
            self.updates.generator.set_state(state["generator"].cpu())
        self._rows = []

    def rows(self) -> dict[str, list[dict[str, object]]]:
        """A row per layer for the initial masks (step 0) and for every update since the last call."""
        rows, self._rows = self._rows, []
        return {"topology": rows}

    @torch.no_grad()
    def _update(self, updates: TopologyUpdates, step: int, gradients: Mapping[str, Tensor]) -> None:
        fraction = updates.fraction(step)
        for name, weight in self._weights.items():
            if name in self._exempt:
                self._record(step, name)
                continue
            update = update_layer(
                weight,
                self.masks[name],
                gradients[name],
                fraction,
                criterion=updates.criterion,
                growth=updates.growth,
                generator=updates.generator,
                mest_lambda=updates.mest_lambda,
            )
            self._set_mask(name, update.mask)
            self._explored[name] = self._explored[name] | update.mask
            # Inactive weights are zero already: to erase all but the kept makes every grown weight start from zero.
            erased = self._factors[name] if updates.regrown == "keep" else update.kept.to(weight.dtype)
            self._multiply(name, erased)
            self._record(step, name, fraction, update)

    def _set_mask(self, name: str, mask: Tensor) -> None:
        self.masks[name] = mask
        # Multiplying by floats is several times faster than by booleans, and this happens at every step.
        self._factors[name] = mask.to(self._weights[name].dtype)

    @torch.no_grad()
    def _multiply(self, name: str, factor: Tensor) -> None:
        """Multiply a layer's weight, and the optimizer state that belongs to it, by zeros and ones."""
        weight = self._weights[name]
        weight.mul_(factor)
        if self._masks_state and self._optimizer is not None:
            for buffer in self._optimizer.state.get(weight, {}).values():
                if isinstance(buffer, Tensor) and buffer.shape == weight.shape:
                    buffer.mul_(factor)

    def _record(self, step: int, layer: str, drop_fraction: float = 0.0, update: LayerUpdate | None = None) -> None:
        mask, explored = self.masks[layer], self._explored[layer]
        active = int(mask.sum())
        self._rows.append(
            {
                "step": step,
                "layer": layer,
                "density": active / mask.numel(),
                "active": active,
                "pruned": len(update.pruned) if update else 0,
                "grown": len(update.grown) if update else 0,
                "regrown": len(update.regrown) if update else 0,
                "itop_rate": int(explored.sum()) / mask.numel(),
                "drop_fraction": drop_fraction,
            }
        )


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
