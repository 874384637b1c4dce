"""`studies.check_runs` in a process of its own: torch, data and models are loaded there, and gone with it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from petlsparse.errors import Problem, UserError
from petlsparse.launch.devices import DeviceSlot
from petlsparse.launch.launcher import WorkerDied
from petlsparse.launch.local import LocalWorker, block_signals
from petlsparse.launch.messages import dump_question, load_findings
from petlsparse.recipe.schema import Run
from petlsparse.studies import Findings


def examined_apart(runs: Mapping[str, Run], device: str | None) -> Findings:
    """What `studies.examined` finds.

    Raises UserError where the process is killed: by the system, as a rule, for want of memory.
    """
    worker = LocalWorker(DeviceSlot(device or "cpu", {}), keeps_errors=False)  # downloads show there how far they are
    try:
        with ThreadPoolExecutor(1, initializer=block_signals) as threads:
            try:
                return load_findings(threads.submit(worker.ask, dump_question(runs, device)).result())
            finally:
                worker.kill()
    except WorkerDied as death:
        if not death.transient:  # an error in the code
            raise
        raise UserError(Problem(f"data and models cannot be looked at: {death}")) from death
    finally:
        worker.end()
