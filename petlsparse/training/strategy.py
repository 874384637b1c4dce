"""What computes for the members of a loop; for one member, the model and the optimizer that it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from torch import Tensor

from petlsparse.training.hooks import Hooks, PerMemberHooks
from petlsparse.training.member import Member
from petlsparse.training.task import Reduction

Compute = Callable[[Any, Tensor], None]
"""(inputs, labels) -> nothing: all that the device does by itself in a step without hooks."""


class Strategy(Protocol):
    """M members as the loop sees them: their models, loss functions and optimizers, each as one.

    Attributes:
        members: in the order of the rows of all tensors.
        hooks: of their methods.
        evaluation_batch: examples per evaluation batch of each member. Fixed, so that a run's numbers depend neither
            on its training batch nor on the other members.
    """

    members: Sequence[Member]
    hooks: Hooks
    evaluation_batch: int

    def context(self) -> AbstractContextManager[Any]:
        """A context that steps are computed in."""
        ...

    def train(self, mode: bool) -> None:
        """Training or evaluation mode of all."""
        ...

    def zero_grad(self) -> None:
        """Free all gradients."""
        ...

    def logits(self, inputs: Any, batch_index: Tensor) -> Tensor:
        """(M, B, classes) of U batches (U, B, ...); `batch_index`, int64 (M,), is the index of each member's batch.

        One member may leave out its dimension here and in losses, as it takes time to put it there and away again.
        """
        ...

    def losses(self, logits: Tensor, labels: Tensor, reduction: Reduction, label_smoothing: float = 0.0) -> Tensor:
        """The task's loss of every member over its batch, (M,), from logits (M, B, classes) and labels (M, B)."""
        ...

    def set_lrs(self, step: int) -> None:
        """Set every member's learning rates of a step."""
        ...

    def optimizer_step(self) -> None:
        """A step of all members' optimizers."""
        ...

    def run(self, compute: Compute, inputs: Any, labels: Tensor) -> None:
        """A step without hooks: call `compute`, or replay what an earlier call did."""
        ...

    def attach_gradients(self, to: Sequence[int]) -> None:
        """Let members' parameters hold their gradients."""
        ...

    def detach_gradients(self, back: Sequence[int]) -> None:
        """The inverse."""
        ...

    def warnings(self) -> list[str]:
        """What went wrong without harm, a sentence each."""
        ...


class SingleStrategy:
    """One member: its model is called, its optimizer steps, its method's hooks are called at every step."""

    evaluation_batch = 500
    """Own choice; with the 128 of a cohort's members evaluation took 1.1 to 1.4 times as long on a CPU."""

    def __init__(self, member: Member) -> None:
        self.members: Sequence[Member] = [member]
        self.hooks: Hooks = PerMemberHooks([member.method])
        self._model, self._optimizer = member.model, member.optimizer

    def context(self) -> AbstractContextManager[Any]:
        """A context that does nothing."""
        return nullcontext()

    def train(self, mode: bool) -> None:
        """Put the model into training or evaluation mode."""
        self._model.train(mode)

    def zero_grad(self) -> None:
        """Free all gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def logits(self, inputs: Any, batch_index: Tensor) -> Tensor:
        """Logits (B, classes): the dimension of members is left out."""
        inputs = {key: value[0] for key, value in inputs.items()} if isinstance(inputs, dict) else inputs[0]
        logits: Tensor = self._model(inputs)
        return logits

    def losses(self, logits: Tensor, labels: Tensor, reduction: Reduction, label_smoothing: float = 0.0) -> Tensor:
        """A scalar, reduced by torch: the mean of a row of losses rounds otherwise."""
        return self.members[0].task.loss(logits, labels[0], reduction, label_smoothing)

    def set_lrs(self, step: int) -> None:
        """Set the learning rate of every group of the optimizer."""
        self.members[0].set_lrs(step)

    def optimizer_step(self) -> None:
        """A step of the member's optimizer."""
        self._optimizer.step()

    def run(self, compute: Compute, inputs: Any, labels: Tensor) -> None:
        """Call `compute`."""
        compute(inputs, labels)

    def attach_gradients(self, to: Sequence[int]) -> None:
        """Nothing to do: its parameters hold them anyway."""

    def detach_gradients(self, back: Sequence[int]) -> None:
        """Nothing to do."""

    def warnings(self) -> list[str]:
        """No warnings."""
        return []
