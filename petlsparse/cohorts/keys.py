"""Which runs may be trained as one: those whose settings give the same key. Needs neither torch nor data."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise

from petlsparse.data.shapes import shape_of
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.methods import AdaptersSettings, LinearProbeSettings
from petlsparse.recipe.schema import AdapterRun, Run, SparseRun

SMALL_NETWORK = 2_500_000
"""Multiplications of a step, weights times batch: networks of fewer are trained as one on a CPU, where it is the calls
that take time (own choice; 8 runs as one were measured 3.3 times as fast at 0.1 M, 2.5 at 0.5, 1.6 at 2.3, 1 at 34)."""


def cohort_key(run: Run, device: str, execution: Execution) -> Hashable | None:
    """What runs that may be trained as one on a device ("cpu", "cuda:0") have in common.

    None for those that cannot be, or are better trained alone.
    """
    if execution.cohort == "off":
        return None
    on_cpu = device.partition(":")[0] == "cpu"
    return _sparse_key(run, on_cpu, execution) if isinstance(run, SparseRun) else _adapter_key(run, on_cpu, execution)


def _sparse_key(run: SparseRun, on_cpu: bool, execution: Execution) -> Hashable | None:
    if execution.backend == "csr" or run.network.arguments().get("dropout"):
        return None
    if on_cpu and not (run.network.name == "mlp" and (execution.cohort != "auto" or _is_small(run))):
        return None
    state = getattr(run.method, "optimizer_state", "masked")
    return run.study, run.data, run.network, run.training, run.optimizer.name, state


def _adapter_key(run: AdapterRun, on_cpu: bool, execution: Execution) -> Hashable | None:
    # On a CPU that is busy with products anyway it saves next to nothing to make one batch of many (measured: 0.9 to
    # 1.2 times as fast at batch 25 and 64 with vit-micro), so that there it has to be asked for.
    if on_cpu and execution.cohort == "auto":
        return None
    adapter = None
    if isinstance(run.method, AdaptersSettings):
        if run.method.dropout or run.method.ranks:
            return None
        alike = {"rank", "activation", "layer_norm", "bias", "scale_kind", "feedback"}
        budget = run.method.parameters and (run.method.parameters, run.method.placement)  # which give a rank
        adapter = *run.method.model_dump(include=alike).values(), budget
    elif not isinstance(run.method, LinearProbeSettings):
        return None
    weights = None if run.backbone.pretrained else run.seed
    return run.study, run.data, run.backbone, weights, run.training, run.optimizer.name, adapter


def _is_small(run: SparseRun) -> bool:
    """Whether an mlp is, by the weights and biases of its layers."""
    channels, height, width, classes = shape_of(run.data.name, run.data.image_size, run.data.label_column)
    sizes = (channels * height * width, *run.network.arguments()["widths"], classes)
    weights: int = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    return weights * run.training.batch_size <= SMALL_NETWORK
