"""What a comparison consists of: one row per configuration, summarised over its seeds."""

from dataclasses import dataclass

from petlsparse.analysis.statistics import SampleSummary
from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.tables import RUNS

SCORES = ("test_accuracy", "val_accuracy_best", "test_loss")
"""What is read of all runs; beside it, of a comparison by another metric, `scores_of` it."""
COSTS = (
    "trainable_parameters",
    "active_parameters",
    "total_parameters",
    "training_flops",
    "inference_flops",
    "wall_seconds",
    "peak_memory_bytes",
)
_ORIGIN = ("device", "device_name", "cpu", "threads", "torch_version", "petlsparse_version", "git_sha", "git_dirty")
_CONTENT = ("classes", "examples_train", "examples_val", "examples_test", *FINGERPRINTS, "edges")

UNREAD = frozenset(column.name for column in RUNS.columns).difference(
    ("run_id", "study", "status", "role"), SCORES, COSTS, _ORIGIN, _CONTENT
)
"""Columns of the `runs` table that no comparison, plan or estimate looks at: of 100,000 runs they would fill memory."""


def scores_of(metric: str) -> tuple[str, ...]:
    """Columns of the `runs` table that a comparison by a metric shows: on test and validation, and the test loss."""
    return tuple(dict.fromkeys((f"test_{metric}", f"val_{metric}_best", "test_loss")))


@dataclass(frozen=True)
class ConfigurationResult:
    """One configuration, summarised over its replicates: runs that differ in their seed only."""

    method: str
    settings: dict[str, str]
    """The shown settings outside the method, by column name."""
    run_ids: tuple[str, ...]
    statuses: dict[str, int]
    scores: dict[str, SampleSummary]
    """Over the runs that are done, in the units of the table."""
    costs: dict[str, float | None]
    """Means over the runs that are done."""
    selected: bool
    """Whether the weights were selected on validation; False means last weights."""
    content: dict[str, str]
    """Known fingerprints of what the runs rest on, by column name."""
    unsaid_edges: str | None
    """The adapters' edges, as JSON, where the method's name does not tell them."""
    stale: tuple[str, ...] | None
    """Those that differ from what is there now; None where it was not checked."""


@dataclass(frozen=True)
class Comparison:
    """The configurations of a study side by side, in the order of the plan: all results, or candidates of a search."""

    study: str
    candidates: bool
    """Whether a search chose by what is compared here, on validation."""
    varies: tuple[str, ...]
    """Settings that take more than one value, the seed aside."""
    columns: tuple[str, ...]
    """Those that need a column of their own: not said by the method's label nor implied by what is shown."""
    contents: tuple[str, ...]
    """Fingerprints that alone tell rows of equal settings apart."""
    rows: tuple[ConfigurationResult, ...]
    notes: tuple[str, ...]
    metric: str = "accuracy"
    """What rows are compared by, a name in `tables.MEASURES`."""

    @property
    def title(self) -> str:
        """The study, and what of it."""
        return f"{self.study}, candidates" if self.candidates else self.study
