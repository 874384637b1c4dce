"""Sparse training as a method: static with fixed masks, dynamic with topology updates (arXiv 2306.12230)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.errors import Problem, UserError
from petlsparse.sparsity.csr import Csr, convert
from petlsparse.sparsity.layer import SparseLayer
from petlsparse.sparsity.layout import match_layout
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.masked import Masked
from petlsparse.sparsity.statistics import Statistics
from petlsparse.sparsity.topology import TopologyUpdate, initial_mask, surviving, update_topology
from petlsparse.sparsity.topology_log import TopologyLog
from petlsparse.sparsity.updates import TopologyUpdates


class SparseTraining:
    """Keeps the weights of every maskable layer to an exact number of active ones.

    Inactive weights are zero after every optimizer step. An update happens on one side of the optimizer step of its
    iteration (`TopologyUpdates.before_step`), with the gradient of that iteration; no optimizer step is lost. A layer
    that is dense in a sparse network is exempt from updates; a network that is dense throughout is updated throughout.

    Deviations from the released code, which are its options here: grown weights restart from zero even if just pruned
    (`TopologyUpdates.regrown`), and optimizer state is zero wherever a weight is inactive (`optimizer_state`), so that
    grown weights have no history and both backends train the same.

    Args:
        model: trained in place; its weights are masked at once.
        counts: layer name -> active weights, for all layers of `maskable(model)`.
        mask_generator: source of the initial masks, used here and never again.
        updates: None trains with the initial masks throughout.
        optimizer_state: "masked", or "dense" to leave the optimizer's state alone.
        backends: layer name -> "masked" or "csr" (`csr.convertible` ones, which are replaced in the model); others are
            masked.

    Raises:
        UserError: optimizer state "dense" together with a layer that holds its active weights only.
    """

    def __init__(
        self,
        model: nn.Module,
        counts: Mapping[str, int],
        *,
        mask_generator: torch.Generator,
        updates: TopologyUpdates | None = None,
        optimizer_state: Literal["masked", "dense"] = "masked",
        backends: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if optimizer_state == "dense" and "csr" in backends.values():
            message = 'csr layers have no optimizer state of inactive weights to keep; must be "masked"'
            raise UserError(Problem(message, "method.optimizer_state", optimizer_state))
        self.model = model
        self.updates = updates
        self.layers: dict[str, SparseLayer] = {}
        """All maskable layers, in order."""
        self._pending = False
        weights = maskable(model)
        full = {name for name, weight in weights.items() if counts[name] == weight.numel()}
        self.exempt = full if len(full) < len(weights) else set()
        """Names of the layers that updates leave alone."""
        for name, weight in weights.items():
            mask = initial_mask(weight.shape, counts[name], mask_generator).to(weight.device)
            if backends.get(name) == "csr":
                self.layers[name] = Csr(convert(model, name, mask), updates=updates is not None)
            else:
                self.layers[name] = Masked(weight, mask, masks_state=optimizer_state == "masked")
        if "csr" in backends.values():
            match_layout(model)
        self.log = TopologyLog(self.masks, explores=updates is not None)
        self.statistics = Statistics(updates, self._updated())

    @property
    def masks(self) -> dict[str, Tensor]:
        """Layer name -> boolean tensor, shaped like the weight: a copy."""
        return {name: layer.mask() for name, layer in self.layers.items()}

    def parameters(self) -> list[nn.Parameter]:
        """All of them: inactive weights, where there are any, are held at zero rather than withheld."""
        return list(self.model.parameters())

    def bind(self, optimizer: Optimizer) -> None:
        """Remember whose state belongs to the weights."""
        for layer in self.layers.values():
            layer.bind(optimizer)

    def updates_topology(self, step: int) -> bool:
        """Whether an update happens at this step."""
        return self.updates is not None and self.updates.due(step)

    def after_backward(self, step: int) -> None:
        """Update with (w_t, g_t), or keep g_t for the update after the step: optimizers may write into gradients."""
        self.statistics.advance(before_step=True)
        if self.updates is not None and self.updates_topology(step):
            if not self.updates.before_step:
                for layer in self._updated().values():
                    layer.snapshot_gradients()
                self._pending = True
                return
            self._update(self.updates, step)
            for layer in self._updated().values():
                layer.recompute_gradients()
        self._free()

    def after_step(self, step: int) -> None:
        """Hold inactive weights at zero; update with (w_{t+1}, g_t) where that is the order."""
        for layer in self.layers.values():
            layer.after_step()
        self.statistics.advance(before_step=False)
        if self.updates is not None and self._pending:
            self._update(self.updates, step)
            self._pending = False
            self._free()

    def after_epoch(self, epoch: int) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Tensor]:
        """What layers cannot read off the model, what they explored, statistics, and the updates' generator."""
        state = {f"{key}.{name}": t for name, layer in self.layers.items() for key, t in layer.state().items()}
        state |= self.log.state() | self.statistics.state()
        if self.updates is not None:
            state["generator"] = self.updates.generator.get_state()
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state`; rows recorded before, such as those of the initial masks, are forgotten."""
        for name, layer in self.layers.items():
            layer.load_state({key: state[f"{key}.{name}"] for key in layer.state()})
        self.log.load_state(state)
        self.statistics.load_state(state)
        if self.updates is not None:
            self.updates.generator.set_state(state["generator"].cpu())

    def rows(self) -> dict[str, list[dict[str, object]]]:
        """A row per layer for the initial masks (step 0) and for every update since the last call."""
        return {"topology": self.log.rows()}

    def _updated(self) -> dict[str, SparseLayer]:
        return {name: layer for name, layer in self.layers.items() if name not in self.exempt}

    def _free(self) -> None:
        for layer in self.layers.values():
            layer.free()

    @torch.no_grad()
    def _update(self, updates: TopologyUpdates, step: int) -> None:
        fraction = updates.fraction(step)
        views = [layer.view(self.statistics.of(name)) for name, layer in self._updated().items()]
        found = update_topology(views, [fraction], rules=updates.rules, generators=[updates.generator])
        for name in self.layers:
            if name in self.exempt:
                self.log.add(step, name)
                continue
            self.take_on(step, name, fraction, next(found))

    def take_on(self, step: int, name: str, drop_fraction: float, update: TopologyUpdate) -> None:
        """Change a layer, and all that belongs to its active weights, by an update."""
        assert self.updates is not None
        layer, keep_regrown = self.layers[name], self.updates.regrown == "keep"
        before = layer.active() if self.statistics.of(name) else None
        layer.replace(update, keep_regrown=keep_regrown)
        if before is not None:
            self.statistics.move(name, *surviving(before, update, layer.size, keep_regrown=keep_regrown))
        self.log.update(step, name, drop_fraction, update)
