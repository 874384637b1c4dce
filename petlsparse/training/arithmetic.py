"""The arithmetic that results are defined by: float32 as it says unless asked otherwise, and operations that repeat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from petlsparse.errors import Problem


def missing_arithmetic(precision: str, device: str) -> Problem | None:
    """The problem with a `training.precision` that a device ("cpu", "cuda:0") does not have."""
    if precision != "tf32" or device.startswith("cuda"):
        return None
    message = "TF32 is arithmetic of CUDA devices, the CPU has none; use float32 here, or train on CUDA"
    return Problem(message, "training.precision", precision)


@contextmanager
def reference_arithmetic(*, deterministic: bool, tf32: bool = False) -> Iterator[None]:
    """Run a block without TF32, unless asked for, and, if asked, without operations whose result depends on scheduling.

    Both matter on CUDA only: there convolutions round float32 inputs to TF32 by default, and some kernels add in the
    order their threads arrive. The settings found are put back.
    """
    deterministic_mode: Any = torch.utils.deterministic
    if deterministic:
        # cuBLAS reads this when its first handle is made; a value set by the user is respected.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        deterministic_mode.fill_uninitialized_memory,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    torch.use_deterministic_algorithms(deterministic)
    deterministic_mode.fill_uninitialized_memory = False  # nobody reads it, and to fill it takes time
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        deterministic_mode.fill_uninitialized_memory = before[1]
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[2:]
