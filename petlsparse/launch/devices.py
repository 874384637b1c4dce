"""Where workers work: a device slot for each, with the environment that keeps it there."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from petlsparse.errors import Problem, UserError
from petlsparse.tracking.cgroups import cpu_quota

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Results must not depend on how many workers share the cores, and oversubscribed cores are slow."""

REPRODUCIBLE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""cuBLAS is deterministic only with a fixed workspace, which must be set before CUDA starts."""

GPU_NODES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))


@dataclass(frozen=True)
class DeviceSlot:
    """The device a worker calls its own, and its environment."""

    device: str
    """"cpu" or "cuda:N", as seen under `environment`."""
    environment: Mapping[str, str]


def device_slots(device: str = "auto", workers: int | None = None, per_gpu: int = 1) -> list[DeviceSlot]:
    """One for each worker.

    On the CPU as many as asked for, or one per core this process may use. On CUDA `per_gpu` for each visible device,
    dealt out device by device, and no more than `workers` in all; each worker sees its own device only.

    Raises:
        UserError: for a device that does not exist, and for numbers below one.
    """
    for flag, number in (("workers", workers), ("per_gpu", per_gpu)):
        if number is not None and number < 1:
            raise UserError(Problem("must be at least 1", where=flag, value=str(number)))
    kind = resolve_device(device)
    if kind == "cpu":
        return [DeviceSlot("cpu", ONE_THREAD)] * (workers or usable_cores())
    visible = visible_gpus()
    if not visible:
        raise UserError(Problem("no CUDA device was found", where="device", valid=("cpu",)))
    if kind != "cuda":
        visible = [_chosen(visible, int(kind.removeprefix("cuda:")))]
    environments = [ONE_THREAD | REPRODUCIBLE | {"CUDA_VISIBLE_DEVICES": gpu} for gpu in visible * per_gpu]
    return [DeviceSlot("cuda:0", environment) for environment in environments[:workers]]


def resolve_device(device: str) -> str:
    """What a user asked for as "cpu", "cuda" or "cuda:N"; "auto" is CUDA where there is any.

    Raises UserError for anything else.
    """
    if device == "auto":
        return "cuda" if any(node.exists() for node in GPU_NODES) and visible_gpus() else "cpu"
    if device == "cpu" or re.fullmatch(r"cuda(:\d+)?", device):
        return device
    raise UserError(Problem("unknown device", where="device", value=device, valid=("auto", "cpu", "cuda", "cuda:N")))


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls the devices this process may use. Imports torch, but does not start CUDA."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    indices: Sequence[str] = named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
    return [index.strip() for index in indices][: torch.cuda.device_count()]


def usable_cores() -> int:
    """Cores this process is allowed to use, by its affinity and by the CPU quota of its container, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _chosen(visible: Sequence[str], index: int) -> str:
    if index >= len(visible):
        valid = tuple(f"cuda:{i}" for i in range(len(visible)))
        raise UserError(Problem("no such CUDA device", where="device", value=f"cuda:{index}", valid=("cpu", *valid)))
    return visible[index]
