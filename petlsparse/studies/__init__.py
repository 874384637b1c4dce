"""The two studies: each turns a run into data, model and method, and hands them to the shared training core."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from petlsparse.recipe.schema import Run

STUDIES = {
    "adapter-search": "petlsparse.studies.adapter_search:execute",
    "dst-sweep": "petlsparse.studies.dst_sweep:execute",
}

ASSEMBLERS = {
    "adapter-search": "petlsparse.studies.adapter_search:assemble",
    "dst-sweep": "petlsparse.studies.dst_sweep:assemble",
}


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

    from petlsparse.registry import resolve

    cost: dict[str, float] = resolve(ASSEMBLERS, run.study, "study")(run, torch.device("cpu")).cost
    return cost


def probe_seconds(run: Run, device: torch.device) -> float:
    """Seconds the whole run would take on this device, extrapolated from a few real steps."""
    from petlsparse.registry import resolve
    from petlsparse.studies.execution import extrapolated_seconds

    return extrapolated_seconds(resolve(ASSEMBLERS, run.study, "study"), run, device)
