"""How runs are executed: what may change their speed and the last digits of their floats, but no setting of theirs.

None of it enters a run's identity; what was used in the end is recorded in its row.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Backend: TypeAlias = Literal["auto", "masked", "csr"]

CohortSize: TypeAlias = int | Literal["auto", "off"]
"""How many runs are trained as one, at most."""


@dataclass(frozen=True)
class Execution:
    """Choices of the command, the same for all its runs."""

    backend: Backend = "auto"
    """Of sparse layers: "masked" computes densely over zeros, "csr" with active weights only (linear layers and
    convolutions, on the CPU, in float32), "auto" as is faster for each layer on this machine. A run that was begun
    keeps its own."""
    cache_memory: int = 0
    """Bytes that cached values of frozen networks may take, all runs of the command together; 0 caches nothing."""
    cache_folder: Path | None = None
    """Where they are kept for all workers of the command; None caches nothing."""
    workers_per_device: int = 1
    """Workers that share the memory of a device, this one included."""
    cohort: CohortSize = "off"
    """How many runs may be trained as one; auto: where that is faster, as many as fit into memory."""


INSPECT_ONLY = Execution(backend="masked")
"""Nothing is measured, cached or converted: for looking at runs rather than executing them."""
