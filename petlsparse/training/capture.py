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

    Args:
        step: works on CUDA, on the current stream, with the same tensors every time, and waits for nothing.
    """

    WARM_UP = 3

    def __init__(self, step: Step) -> None:
        self.failure = ""
        self._step = step
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: Any, labels: Tensor) -> None:
        """One step; inputs (a tensor, or a dict of them) and labels have the same shapes in every call."""
        if self._graph is None:
            self._calls += 1
            if self._calls <= self.WARM_UP or self.failure or not self._record(inputs, labels):
                self._step(inputs, labels)
                return
        else:
            _copy(inputs, self._inputs)
            self._labels.copy_(labels)
        assert self._graph is not None
        self._graph.replay()

    def _record(self, inputs: Any, labels: Tensor) -> bool:
        self._inputs, self._labels = _cloned(inputs), labels.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                self._step(self._inputs, self._labels)
        except RuntimeError as error:
            torch.cuda.synchronize()
            self.failure = str(error).partition("\n")[0]
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
