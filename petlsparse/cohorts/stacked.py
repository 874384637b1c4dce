"""Several members computed as one, each with the result it would have alone, up to the rounding of floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from petlsparse.cohorts.capture import CapturedStep
from petlsparse.cohorts.compatible import by_optimizer, check_compatible, consecutive
from petlsparse.cohorts.models import Stack, StackedModels
from petlsparse.cohorts.optimizer import StackedOptimizer
from petlsparse.cohorts.parameters import StackedParameter
from petlsparse.training.hooks import Hooks, PerMemberHooks
from petlsparse.training.member import Member
from petlsparse.training.method import Method
from petlsparse.training.strategy import Compute
from petlsparse.training.task import Reduction


class StackedStrategy:
    """A `training.strategy.Strategy`: the members' weights and optimizer states become views of common tensors.

    They may differ in seed, initial weights, method, learning rate and schedule, weight decay and momentum. On CUDA a
    step without hooks is recorded as a graph and replayed.

    Args:
        members: where their checkpoints stand, all at the same step.
        stack: models as one; they are given in the order of `self.members`, which is another than that of `members`.
        method: hooks of methods given in that order.

    Raises:
        Incompatible: they cannot be trained as one; says why.
    """

    evaluation_batch = 128
    """Own choice: no larger than training batches are, so that many members fit into memory and caches."""

    def __init__(
        self,
        members: Sequence[Member],
        *,
        stack: Callable[[Sequence[nn.Module]], Stack] = StackedModels,
        method: Callable[[Sequence[Method], Stack], Hooks] = lambda methods, _: PerMemberHooks(methods),
    ) -> None:
        check_compatible(members)
        grouped = by_optimizer(members)
        self.members: Sequence[Member] = [members[i] for group in grouped for i in group]
        self.device = members[0].device
        self.stack = stack([member.model for member in self.members])
        self.hooks = method([member.method for member in self.members], self.stack)
        on_cuda = self.device.type == "cuda"
        self._groups = consecutive(grouped)
        optimizers = [member.optimizer for member in self.members]
        self._optimizer = StackedOptimizer(optimizers, self._groups, self.stack.parameters, captured=on_cuda)
        self.captured = CapturedStep() if on_cuda else None
        self._parameters_of = _parameters_of(self.stack, len(self.members))

    def context(self) -> AbstractContextManager[Any]:
        """On CUDA, a stream that can be recorded."""
        if self.device.type != "cuda":
            return nullcontext()
        own = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        own.wait_stream(torch.cuda.current_stream(self.device))
        return torch.cuda.stream(own)

    def train(self, mode: bool) -> None:
        """Training or evaluation mode of all."""
        self.stack.train(mode)

    def zero_grad(self) -> None:
        """Free all gradients."""
        for stacked in self.stack.parameters:
            stacked.rows.grad = None

    def logits(self, inputs: Any, batch_index: Tensor) -> Tensor:
        """Logits (M, B, classes); see `Strategy.logits`."""
        return self.stack(inputs, batch_index)

    def losses(self, logits: Tensor, labels: Tensor, reduction: Reduction, label_smoothing: float = 0.0) -> Tensor:
        """The task's loss of every member over its batch, (M,)."""
        each = self.members[0].task.loss(logits.flatten(0, 1), labels.flatten(), "none", label_smoothing)
        mean = each.view(labels.shape).mean(1)
        return mean if reduction == "mean" else mean * labels.shape[1]

    def set_lrs(self, step: int) -> None:
        """Set every member's learning rates of a step."""
        for group in self._groups:
            leader = self.members[group.start]
            leader.set_lrs(step)
            for i in group[1:]:
                for own, theirs in zip(
                    self.members[i].optimizer.param_groups, leader.optimizer.param_groups, strict=True
                ):
                    own["lr"] = theirs["lr"]
        self._optimizer.set_lrs()

    def optimizer_step(self) -> None:
        """A step of all members' optimizers."""
        self._optimizer.step()

    def run(self, compute: Compute, inputs: Any, labels: Tensor) -> None:
        """A step without hooks; of a full batch, since records are of one shape, recorded on CUDA."""
        if self.captured is not None and labels.shape[1] == self.members[0].settings.batch_size:
            self.captured(compute, inputs, labels)
        else:
            compute(inputs, labels)

    def attach_gradients(self, to: Sequence[int]) -> None:
        """Let members' parameters hold their gradients."""
        for i in to:
            for parameter, stacked, k in self._parameters_of[i]:
                gradient = stacked.gradient()
                parameter.grad = None if gradient is None else gradient[k]

    def detach_gradients(self, back: Sequence[int]) -> None:
        """The inverse: they would be memory held for nothing."""
        for i in back:
            for parameter, _, _ in self._parameters_of[i]:
                parameter.grad = None

    def warnings(self) -> list[str]:
        """Why steps were not recorded, though they could have been."""
        failure = self.captured.failure if self.captured is not None else ""
        return [f"steps were not recorded as a CUDA graph: {failure}"] if failure else []


def _parameters_of(stack: Stack, members: int) -> list[list[tuple[nn.Parameter, StackedParameter, int]]]:
    """For every member: its parameters, each with its stacked parameter and its row in it."""
    found: list[list[tuple[nn.Parameter, StackedParameter, int]]] = [[] for _ in range(members)]
    for stacked in stack.parameters:
        for k, member in enumerate(stacked.members):
            found[member].append((stacked.parameters[k], stacked, k))
    return found
