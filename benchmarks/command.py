"""What does a command line of petlsparse take? Run as a program: loads nothing but what the command itself loads.

`python -m benchmarks.command '[["status", "a"], ["status", "b"]]'` says it of the last one, the others go before it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path

from petlsparse._cli.app import app

ROOT = Path(__file__).parents[1]
STATUS = Path("/proc/self/status")


def in_fresh_process(lines: Sequence[Sequence[str]]) -> dict[str, float]:
    """`measure`, elsewhere."""
    call = [sys.executable, "-m", "benchmarks.command", json.dumps(lines)]
    answer = subprocess.run(call, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    measured: dict[str, float] = json.loads(answer)
    return measured


def measure(lines: Sequence[Sequence[str]]) -> dict[str, float]:
    """Seconds that the last command line takes in this process, after the others, and the process's peak bytes.

    Of processes that it starts counts what they take beyond those of the line before, which load the same libraries.
    """
    taken = [of_children()]
    for line in lines[:-1]:
        answered(line)
        taken.append(of_children())
    cpu, wall = time.process_time(), time.perf_counter()
    answered(lines[-1])
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    *_, before, now = (after - earlier for earlier, after in pairwise([0.0, *taken, of_children()]))
    return {"cpu": cpu + max(0.0, now - before), "wall": wall, "bytes": peak_bytes()}


def of_children() -> float:
    """CPU seconds of the processes that were started by this one and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def answered(line: Sequence[str]) -> str:
    """What a command says. RuntimeError unless all went well."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        code = app(line, standalone_mode=False)
    if code:
        raise RuntimeError(f"{line} ended with {code}")
    return out.getvalue()


def peak_bytes() -> int:
    """Of this process's resident memory; `ru_maxrss` would have its parent's too."""
    if STATUS.exists():
        return next(int(at.split()[1]) * 1024 for at in STATUS.read_text().splitlines() if at.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
