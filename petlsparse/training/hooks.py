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
        """Of those due, whose parameters hold their gradients until `after_step`."""
        ...

    def before_step(self) -> None:
        """Of all, between backward and optimizer step."""
        ...

    def apply(self) -> None:
        """Of all, after the optimizer step."""
        ...

    def after_step(self, step: int, due: Sequence[int]) -> None:
        """Of those due, after the optimizer step."""
        ...


class PerMemberHooks:
    """Calls each member's own hooks at every step: right for every method, and slow for many members."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = methods
        self._due = [i for i, method in enumerate(methods) if not isinstance(method, StandardTraining)]

    def due(self, step: int) -> Sequence[int]:
        """All whose hooks do anything."""
        return self._due

    def after_backward(self, step: int, due: Sequence[int]) -> None:
        """Each one's own, in order."""
        for i in due:
            self._methods[i].after_backward(step)

    def before_step(self) -> None:
        """Nothing to do."""

    def apply(self) -> None:
        """Nothing to do."""

    def after_step(self, step: int, due: Sequence[int]) -> None:
        """Each one's own, in order."""
        for i in due:
            self._methods[i].after_step(step)
