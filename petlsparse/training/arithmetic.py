"""The arithmetic that results are defined by: float32 as it says, and operations that repeat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reference_arithmetic(*, deterministic: bool) -> Iterator[None]:
    """Run a block without TF32 and, if asked, without operations whose result depends on scheduling.

    Both matter on CUDA only: there convolutions round float32 inputs to TF32 by default, and some kernels add in the
    order their threads arrive. The settings found are put back.
    """
    if deterministic:
        # cuBLAS reads this when its first handle is made; a value set by the user is respected.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[1:]
