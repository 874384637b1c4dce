"""Where a number came from: code, versions, machine, command, times. Keys are columns of the runs table."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

DRIVER_VERSION = Path("/proc/driver/nvidia/version")
PACKAGES = ("petlsparse", "torch", "timm", "peft", "numpy", "pandas")


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def of_command(folder: Path | None = None) -> dict[str, Any]:
    """What all runs of one command share. Asks git about `folder` (default: the working directory)."""
    return {
        "argv": shlex.join(sys.argv),
        **_git(folder or Path.cwd()),
        "host": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12],
        "platform": platform.platform(),
        "cpu": cpu(),
        "python": platform.python_version(),
        **{f"{package}_version": _version(package) for package in PACKAGES},
    }


def of_worker(device: str, threads: int) -> dict[str, Any]:
    """What a worker adds. torch is asked only where the run has imported it."""
    found: dict[str, Any] = {"device": device, "threads": threads}
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        found |= {"cuda": torch.version.cuda, "driver": _driver()}
        with suppress(Exception):  # a GPU in trouble does not say its name; the record must tell of the trouble
            found["device_name"] = torch.cuda.get_device_name(device)
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, Any]:
    """Commit of the work tree around `folder`, and whether tracked files differ from it; None where there is none."""
    sha = _ask_git(folder, "rev-parse", "HEAD")
    changes = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_sha": sha, "git_dirty": None if sha is None or changes is None else bool(changes)}


def _ask_git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def cpu() -> str | None:
    """Name of the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or None)


def _driver() -> str | None:
    """The first version number in "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05 ..."."""
    try:
        words = DRIVER_VERSION.read_text().split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and word.count(".") >= 1), None)
