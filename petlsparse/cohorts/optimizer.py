"""The optimizers of several members as few: torch's own kernels over stacked rows, one for all of equal settings.

A formula over stacks with a learning rate per row would do the same in two to three times as many passes over memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.cohorts.models import Incompatible
from petlsparse.cohorts.parameters import StackedParameter, as_rows, unpadded


@dataclass(frozen=True)
class _Part:
    """The rows of a stacked parameter that belong to members with equal settings."""

    parameter: nn.Parameter
    stacked: StackedParameter
    rows: range


class StackedOptimizer:
    """Steps for all members at once, as each one's optimizer would for it alone.

    From the first step on, the members' optimizers hold their state under the usual names: tensors they share with
    this one. State they hold at the start, of a continued training, is taken over. All have done equally many steps.

    Args:
        optimizers: of every member; of one type. Never stepped themselves.
        groups: members, in order, whose optimizers have the same parameter groups, learning rates included, at every
            step.
        parameters: what is trained.
        captured: steps are recorded as CUDA graphs, which read learning rates from the device.

    Raises:
        Incompatible: what one row of a parameter is in its member's optimizer, another row is not in another's.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        groups: Sequence[range],
        parameters: Sequence[StackedParameter],
        *,
        captured: bool = False,
    ) -> None:
        self._optimizers, self._leaders = optimizers, [optimizers[group.start] for group in groups]
        self._groups: list[tuple[Optimizer, list[_Part]]] = []
        for group in groups:
            parts = [part for stacked in parameters if (part := _part(stacked, group))]
            own = _like(optimizers[group.start], self._by_group(parts, group), captured)
            self._groups.append((own, parts))
            for part in parts:
                self._adopt(own, part)
        self._share()  # of a continued training: its methods may write to the state before the first step
        self._shared = False

    def set_lrs(self) -> None:
        """Take over the learning rates that the first member of every group has now, for the next step."""
        for (own, _), leader in zip(self._groups, self._leaders, strict=True):
            for group, theirs in zip(own.param_groups, leader.param_groups, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(theirs["lr"])
                else:
                    group["lr"] = theirs["lr"]

    @torch.no_grad()
    def step(self) -> None:
        """One optimizer step with the gradients that the stacked parameters hold now. Waits for nothing."""
        for optimizer, parts in self._groups:
            for part in parts:
                gradient = part.stacked.rows.grad
                part.parameter.grad = None if gradient is None else gradient[part.rows.start : part.rows.stop]
            optimizer.step()
            for part in parts:
                part.parameter.grad = None  # it would hold memory while the next is computed
        if not self._shared:  # torch makes the state in the first step
            self._share()

    def _by_group(self, parts: Sequence[_Part], members: range) -> list[list[nn.Parameter]]:
        """The parts' parameters by the parameter group that theirs are in, of these members' optimizers."""
        place = {
            parameter: at
            for member in members
            for at, group in enumerate(self._optimizers[member].param_groups)
            for parameter in group["params"]
        }
        found: list[list[nn.Parameter]] = [[] for _ in self._optimizers[members.start].param_groups]
        for part in parts:
            places = {place[part.stacked.parameters[k]] for k in part.rows}
            if len(places) > 1:
                raise Incompatible("parameters that are alike are in parameter groups that are not")
            found[places.pop()].append(part.parameter)
        return found

    def _adopt(self, own: Optimizer, part: _Part) -> None:
        """Begin with the state that the members' optimizers hold."""
        states = [state for _, _, state in self._states(part)]
        for name in states[0]:
            if name == "step":  # a number, the same for all
                own.state[part.parameter][name] = states[0][name]
            elif isinstance(states[0][name], Tensor):
                own.state[part.parameter][name] = as_rows([state[name] for state in states])

    def _share(self) -> None:
        """Let the members' optimizers see the state."""
        for own, parts in self._groups:
            for part in parts:
                for name, value in own.state.get(part.parameter, {}).items():
                    whole = isinstance(value, Tensor) and value.shape == part.parameter.shape
                    for index, parameter, state in self._states(part):
                        state[name] = unpadded(value, parameter.shape)[index] if whole else value
        self._shared = True

    def _states(self, part: _Part) -> Iterator[tuple[int, nn.Parameter, dict[str, Tensor]]]:
        """Index in the part, parameter and optimizer state of each member in it."""
        for index, k in enumerate(part.rows):
            parameter = part.stacked.parameters[k]
            yield index, parameter, self._optimizers[part.stacked.members[k]].state[parameter]


def _part(stacked: StackedParameter, group: range) -> _Part | None:
    owned = [k for k, member in enumerate(stacked.members) if member in group]
    if not owned:
        return None
    rows = range(owned[0], owned[-1] + 1)
    return _Part(nn.Parameter(stacked.rows.detach()[rows.start : rows.stop]), stacked, rows)


def _like(optimizer: Optimizer, parameters: Sequence[list[nn.Parameter]], captured: bool) -> Optimizer:
    """Another one with the same settings, of these parameters in its parameter groups."""
    accepted = inspect.signature(type(optimizer)).parameters
    groups = []
    for group, own in zip(optimizer.param_groups, parameters, strict=True):
        settings = {name: value for name, value in group.items() if name in accepted and name != "params"}
        if captured and "capturable" in settings:
            settings["capturable"] = True
        groups.append({**settings, "params": own})
    other = type(optimizer)(groups, **{name: value for name, value in groups[0].items() if name != "params"})
    if captured:
        for group in other.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=group["params"][0].device)
    return other
