"""A step that cannot be recorded goes on as it is, and the true reason is told; no CUDA needed to see that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from petlsparse.cohorts.capture import CapturedStep

BATCH = torch.zeros(2), torch.zeros(2, dtype=torch.int64)


@contextmanager
def failing_end(*_: Any, **__: Any) -> Iterator[None]:
    """As torch.cuda.graph: what went wrong inside makes the end of the recording fail, too."""
    try:
        yield
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("CUDAGraph", "current_stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    monkeypatch.setattr(torch.cuda, "graph", failing_end)
    return monkeypatch


def test_a_step_that_cannot_be_recorded_goes_on_and_says_why(recording: pytest.MonkeyPatch) -> None:
    steps = 0
    captured = CapturedStep()

    def step(inputs: Any, labels: Tensor) -> None:
        nonlocal steps
        if inputs is not BATCH[0]:  # the recording has copies of its own
            raise RuntimeError("waits for the host\nand more")
        steps += 1

    for _ in range(6):
        captured(step, *BATCH)
    assert steps == 6
    assert captured.failure == "waits for the host"


def test_a_recorded_step_is_replayed_on_the_newest_batch(recording: pytest.MonkeyPatch) -> None:
    @contextmanager
    def graph(*_: Any, **__: Any) -> Iterator[None]:
        yield

    recording.setattr(torch.cuda, "graph", graph)
    seen: list[Any] = []
    captured = CapturedStep()
    for number in range(6):
        captured(lambda inputs, labels: seen.append((inputs, labels)), {1: torch.full((2,), number)}, BATCH[1] + number)
    assert len(seen) == CapturedStep.WARM_UP + 1
    inputs, labels = seen[-1]  # what a replay would read
    assert inputs[1].tolist() == labels.tolist() == [5, 5]
    assert torch.cuda.CUDAGraph().replay.call_count == 3  # type: ignore[attr-defined]
