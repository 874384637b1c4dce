"""Peak memory of a stretch of work: of the device on CUDA, of the process on CPU."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak_memory(device: torch.device) -> None:
    """Forget earlier peaks. Workers are long-lived, so without this a run would be billed for its predecessors."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # statistics of a device that was never touched are refused
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:  # not Linux, or not permitted: the peak is then that of the whole process so far
        return


def peak_memory_bytes(device: torch.device) -> int:
    """Bytes at the highest point since the last reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
