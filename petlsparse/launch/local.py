"""The launcher of this machine: a process for each device slot, serving one submission after another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from queue import LifoQueue
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from petlsparse.launch.devices import DeviceSlot
from petlsparse.launch.events import PENDING
from petlsparse.launch.interruption import SIGNALS
from petlsparse.launch.job import Job, Outcomes
from petlsparse.launch.launcher import WorkerDied
from petlsparse.launch.messages import dump_jobs, load_answer
from petlsparse.launch.serve import COMMAND


class LocalLauncher:
    """Workers as `slots` says; their processes start with their first jobs.

    A thread waits for each process, so that its death is known at once.
    """

    def __init__(self, slots: Sequence[DeviceSlot]) -> None:
        self.capacity = len(slots)
        self.workers_per_device = max(Counter(slot.environment.get("CUDA_VISIBLE_DEVICES") for slot in slots).values())
        self._workers = [LocalWorker(slot) for slot in slots]
        self._idle: LifoQueue[LocalWorker] = LifoQueue()
        for worker in reversed(self._workers):
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(self.capacity, initializer=block_signals)

    def submit(self, jobs: Sequence[Job]) -> Future[Outcomes]:
        """Hand jobs to an idle worker, one whose process is there already if possible."""
        return self._threads.submit(self._execute, jobs)

    def cancel(self) -> None:
        """End all processes with SIGKILL; nothing is lost: their files are old or new, never half."""
        for worker in self._workers:
            worker.kill()

    def close(self) -> None:
        """End what is left of them, and wait."""
        self.cancel()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()

    def _execute(self, jobs: Sequence[Job]) -> Outcomes:
        worker = self._idle.get()
        try:
            return worker.execute(jobs)
        finally:
            self._idle.put(worker)


class LocalWorker:
    """One process after another, each until it dies, or fails to bring a run to a result."""

    def __init__(self, slot: DeviceSlot, *, keeps_errors: bool = True) -> None:
        """What the processes write to standard error is kept, to tell why one died, or else seen."""
        self.slot, self.keeps_errors = slot, keeps_errors
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes]
        self._killed = False
        self._lock = Lock()

    def execute(self, jobs: Sequence[Job]) -> Outcomes:
        """Have jobs executed. Raises WorkerDied, or UserError where the store cannot be written."""
        healthy = False
        try:
            outcomes = load_answer(self.ask(dump_jobs([replace(job, device=self.slot.device) for job in jobs])))
            healthy = all(outcome.status not in ("failed", PENDING) for outcome in outcomes.values())
            return outcomes
        finally:
            if not healthy:  # a failure may leave a GPU or the memory in a bad state: the next run gets a fresh process
                self.end()

    def ask(self, request: bytes) -> bytes:
        """The line with which the process answers one of `messages`. Raises WorkerDied if it ends before."""
        process = self._started()
        assert process.stdin
        assert process.stdout
        answer = b""
        with suppress(BrokenPipeError):  # it is ending
            process.stdin.write(request)
            process.stdin.flush()
            answer = process.stdout.readline()
        if not answer.endswith(b"\n"):
            self._errors.seek(0)
            raise WorkerDied(describe_death(process.wait(), self._errors.read().decode(errors="replace")))
        return answer

    def kill(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """End the process, if there is one, and wait until it has."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
            self._errors.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:  # it ended while it had nothing to do
            self.end()
        with self._lock:
            if self._killed:
                raise WorkerDied("the command ended before a worker began")
            if self._process is None:
                self._errors = TemporaryFile()  # noqa: SIM115 - as long as the process lives
                self._process = subprocess.Popen(
                    COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors if self.keeps_errors else None,
                    env=os.environ | self.slot.environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            return self._process


def describe_death(code: int, errors: str) -> str:
    """Why a process ended before its jobs did, from its exit status and what it wrote before any of them."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"its worker was killed by {name}{': out of memory?' if name == 'SIGKILL' else ''}"
    told = errors.strip().rpartition("\n")[-1]
    return f"its worker exited with status {code} before the run had ended{f': {told}' if told else ''}"


def block_signals() -> None:
    """Of this thread, and so of the processes that it starts, from their first instruction on.

    A terminal and a batch scheduler send a signal to all processes at once; workers hear of it from the stop file.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
