"""The two studies: each turns a run into data, model and method, and hands them to the shared training core."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from petlsparse.recipe.execution import Execution
    from petlsparse.recipe.schema import Run

STUDIES = {
    "adapter-search": "petlsparse.studies.adapter_search:execute",
    "dst-sweep": "petlsparse.studies.dst_sweep:execute",
}

"""Study name -> "module:execute"; the module has `assemble` and `check_method` too, and `execute_together` where runs
can be trained as one."""


def names() -> Mapping[str, Collection[str]]:
    """Every name a recipe may use, by kind: what recipe validation checks against. Imports no torch."""
    from petlsparse.adapters import PLACEMENTS
    from petlsparse.data import AUGMENTATIONS, DATASETS
    from petlsparse.networks import NETWORKS
    from petlsparse.sparsity import CRITERIA, DISTRIBUTIONS, DROP_SCHEDULES, GROWTHS

    return {
        "datasets": [*DATASETS, "folder:"],
        "augmentations": AUGMENTATIONS,
        "networks": NETWORKS,
        "distributions": DISTRIBUTIONS,
        "criteria": CRITERIA,
        "growths": GROWTHS,
        "drop_schedules": DROP_SCHEDULES,
        "placements": PLACEMENTS,
    }


def describe(run: Run) -> dict[str, float]:
    """What a run costs by its settings alone: parameters and FLOPs, as in the cost columns of the `runs` table.

    Loads the data and builds the model on the CPU. Raises UserError where the run itself would.
    """
    import torch

    from petlsparse.recipe.execution import PLAIN

    cost: dict[str, float] = _module(run).assemble(run, torch.device("cpu"), PLAIN).cost
    return cost


def check(runs: Iterable[Run], device: str | None = None) -> None:
    """Whether runs can be assembled: every data set and model is loaded once, every method tried on its model.

    Given a device ("cpu", "cuda:0"), also whether it has the arithmetic they ask for.

    Raises UserError with the problems found, so that they are told before training and not by run after run.
    """
    import torch

    from petlsparse.errors import Problem, UserError
    from petlsparse.recipe.execution import PLAIN
    from petlsparse.training.arithmetic import missing_arithmetic

    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        model = run.backbone if run.study == "adapter-search" else run.network
        groups.setdefault((run.data, model), []).append(run)
    problems: list[Problem] = []
    for alike in groups.values():
        if device is not None:
            problems += filter(None, (missing_arithmetic(run.training.precision, device) for run in alike))
        study = _module(alike[0])
        try:
            model = study.assemble(alike[0], torch.device("cpu"), PLAIN).method.model
        except UserError as error:
            problems += error.problems
            continue
        for method in dict.fromkeys(run.method for run in alike):
            try:
                study.check_method(method, model)
            except UserError as error:
                problems += error.problems
    if problems:
        raise UserError(*dict.fromkeys(problems))


def cohort_key(run: Run, device: str, execution: Execution) -> Hashable | None:
    """Runs of equal key may be trained as one on this device ("cpu", "cuda:0"); those of key None are trained alone."""
    key: Hashable | None = _module(run).cohort_key(run, device.partition(":")[0], execution)
    return key


def probe_seconds(run: Run, device: torch.device) -> float:
    """Seconds the whole run would take by itself on this device, extrapolated from a few real steps."""
    from petlsparse.recipe.execution import Execution
    from petlsparse.studies.execution import arithmetic_of, extrapolated_seconds

    with arithmetic_of(run, device):
        return extrapolated_seconds(_module(run).assemble, run, device, Execution())


def _module(run: Run) -> Any:
    """The module of the run's study."""
    return import_module(STUDIES[run.study].partition(":")[0])
