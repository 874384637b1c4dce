"""Memory of a stretch of work, and what is left: of the device on CUDA, of process and machine on CPU."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil
import torch

from petlsparse.tracking.machine import available_memory

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


def free_memory_bytes(device: torch.device) -> int:
    """Bytes that can still be used; on CUDA, those that torch holds for later included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return available_memory()


def used_memory_bytes(device: torch.device) -> int:
    """Bytes in use now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    used: int = psutil.Process().memory_info().rss
    return used
