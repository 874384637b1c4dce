"""A training step recorded as a CUDA graph: one launch in place of hundreds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Step = Callable[[Any, Tensor], None]
"""(inputs, labels) -> nothing: everything it changes, it changes in place."""


class CapturedStep:
    """Calls a step as it is a few times, then records it, and from then on replays the record.

    Between replays the step may be called directly, on batches of another size too. If recording fails, the step
    goes on as it is and `failure` says why.

    The step is not kept: one that is a method would hold its object, and all of the device's memory that is its, until
    the garbage collector finds them.
    """

    WARM_UP = 3

    def __init__(self) -> None:
        self.failure = ""
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, step: Step, inputs: Any, labels: Tensor) -> None:
        """One step.

        Args:
            step: the same in every call. Works on CUDA, on the current stream, with the same tensors every time, and
                waits for nothing.
            inputs: a tensor, or a dict of them; like the labels of the same shape in every call.
            labels: of the inputs.
        """
        if self._graph is None:
            self._calls += 1
            if self._calls <= self.WARM_UP or self.failure or not self._record(step, inputs, labels):
                step(inputs, labels)
                return
        else:
            _copy(inputs, self._inputs)
            self._labels.copy_(labels)
        assert self._graph is not None
        self._graph.replay()

    def _record(self, step: Step, inputs: Any, labels: Tensor) -> bool:
        self._inputs, self._labels = _cloned(inputs), labels.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                step(self._inputs, self._labels)
        except RuntimeError as error:
            torch.cuda.synchronize()
            cause = error.__context__ or error  # to end a recording that went wrong is an error of its own
            self.failure = str(cause).partition("\n")[0]
            return False
        self._graph = graph
        return True


def _cloned(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {key: value.clone() for key, value in inputs.items()}
    return inputs.clone()


def _copy(inputs: Any, to: Any) -> None:
    if isinstance(inputs, dict):
        for key, value in inputs.items():
            to[key].copy_(value)
    else:
        to.copy_(inputs)
