"""How many runs fit into memory as one, from what cohorts of one and of two are seen to take."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from petlsparse.recipe.execution import Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies.company import Company, members_of
from petlsparse.training.cohort import CohortTraining
from petlsparse.training.memory import free_memory_bytes, peak_memory_bytes, reset_peak_memory, used_memory_bytes
from petlsparse.training.result import RunResult

SHARE_OF_MEMORY = 0.8
"""Of the free memory: what a cohort may take."""


def fitting(company: Company, runs: Sequence[Run], device: torch.device, execution: Execution) -> int:
    """How many of the runs fit into memory at once; no measurement is trusted below what is known to be held."""
    if len(runs) < 3:
        return len(runs)
    before = used_memory_bytes(device)
    one, two = (_measured(company, runs, count, device, execution) - before for count in (1, 2))
    fixed_and_one, each = max(one, 0), max(two - one, _held(company, runs[0], device, execution))
    room = SHARE_OF_MEMORY * free_memory_bytes(device) / execution.sharers - fixed_and_one
    return max(1, min(len(runs), 1 + int(room / each)))


def _measured(company: Company, runs: Sequence[Run], count: int, device: torch.device, execution: Execution) -> int:
    """Bytes at the highest point of a few steps and a validation pass of the first `count` of the runs."""
    members = members_of(
        company,
        [(i, (run, None)) for i, run in enumerate(runs[:count])],
        device=device,
        execution=execution,
        beside=runs[count:] if company.shares_feeds else (),
    )
    reset_peak_memory(device)
    cohort = CohortTraining(
        [member.training for member in members], stack=company.stack, method=company.method, done=_nobody
    )
    cohort.try_out()
    return peak_memory_bytes(device)


def _nobody(index: int, result: RunResult) -> None:
    """Nobody is told."""


def _held(company: Company, run: Run, device: torch.device, execution: Execution) -> int:
    """Bytes of a member's weights, gradients, best weights, masks and one optimizer state."""
    (assembly,) = company.assemble([run], device, execution, [{}])
    return 5 * sum(parameter.nbytes for parameter in assembly.method.parameters())
