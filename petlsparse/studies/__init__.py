"""The two studies: each turns a run into data, model and method, and hands them to the shared training core."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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
