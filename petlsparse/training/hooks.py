"""The hooks of several methods as the loop calls them: of all at once, or one method after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from petlsparse.training.method import Method, StandardTraining


class Hooks(Protocol):
    """The methods of all members around the optimizer step, in the order of what follows.

    `before_step` and `apply` run at every step and may be recorded as a CUDA graph: they work on the same tensors every
    time, in place, and read nothing back. The others are called at steps at which something is due.
    """

    def due(self, step: int) -> Sequence[int]:
        """Members whose methods do more at this step than `before_step` and `apply`; steps count from 1."""
        ...

    def after_backward(self, step: int, due: Sequence[int]) -> None:
        """Between backward and optimizer step, for members due; their parameters hold gradients until `after_step`."""
        ...

    def before_step(self) -> None:
        """Between backward and optimizer step, for all members."""
        ...

    def apply(self) -> None:
        """After the optimizer step, for all members."""
        ...

    def after_step(self, step: int, due: Sequence[int]) -> None:
        """After the optimizer step, and after `apply`, for members due."""
        ...


class PerMemberHooks:
    """Calls each member's own hooks at every step: right for every method, and slow for many members."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = methods
        self._due = [i for i, method in enumerate(methods) if not isinstance(method, StandardTraining)]

    def due(self, step: int) -> Sequence[int]:
        """Indices of all members whose hooks do anything."""
        return self._due

    def after_backward(self, step: int, due: Sequence[int]) -> None:
        """Call the hook of each method due, in order."""
        for i in due:
            self._methods[i].after_backward(step)

    def before_step(self) -> None:
        """Nothing to do."""

    def apply(self) -> None:
        """Nothing to do."""

    def after_step(self, step: int, due: Sequence[int]) -> None:
        """Call the hook of each method due, in order."""
        for i in due:
            self._methods[i].after_step(step)
