"""The tables of a store, column by column. `results/README.md` shows them to people; a test keeps the two equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

Dtype = Literal["string", "int64", "float64", "bool"]


@dataclass(frozen=True)
class Column:
    """One column. `incidental`: it may differ between two executions of the same run (times, memory, machine)."""

    name: str
    dtype: Dtype
    unit: str
    meaning: str
    incidental: bool = False


@dataclass(frozen=True)
class Table:
    """One parquet file of a store. Any column but `run_id` may be null: not known, or not applicable."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def incidental(self) -> frozenset[str]:
        """Names of the columns that may differ between equal runs."""
        return frozenset(column.name for column in self.columns if column.incidental)


RUN_ID = Column("run_id", "string", "", "identity of the run: 12 hex of the hash of its settings")
SCHEMA_COLUMN = Column("schema_version", "int64", "", "version of these tables, as in the file's metadata")

IDENTITY = (
    RUN_ID,
    Column("study", "string", "", "adapter-search or dst-sweep"),
    Column("recipe", "string", "", "name of the recipe whose command executed the run"),
    Column("status", "string", "", "done, failed, diverged or interrupted"),
    Column("attempts", "int64", "", "executions that ended in done, diverged or failed", incidental=True),
    Column("error", "string", "", "why it failed: end of the traceback, or how its worker died", incidental=True),
)

ROLE = Column(
    "role",
    "string",
    "",
    "what a search asked for it as: candidate (chosen by it, no result to report) or final; or null",
)


class Measure(NamedTuple):
    """A metric, or the loss, as tables show it."""

    unit: str
    words: str
    short: str
    """In the headers of comparison tables."""


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "accuracy": Measure("%", "accuracy", "acc."),
        "loss": Measure("nat", "cross-entropy", "loss"),
        "macro_f1": Measure("%", "macro F1", "macro F1"),
    }
)
"""What an evaluation measures, by its name in columns and history."""


def _measured(name: str, where: str) -> tuple[Column, ...]:
    """A column for each of MEASURES, its name and meaning filled in."""
    return tuple(
        Column(name.format(key), "float64", measure.unit, where.format(measure.words))
        for key, measure in MEASURES.items()
    )


METRIC_COLUMNS = (
    *_measured("test_{}", "test {} at the weights best on validation"),
    *_measured("test_{}_last", "test {} at the last weights"),
    *_measured("val_{}_best", "validation {} at the weights best on validation"),
    *_measured("val_{}_last", "validation {} at the last evaluation"),
    Column(
        "best_epoch",
        "int64",
        "epoch",
        "epoch of the evaluation with the highest `training_select_by`, the first if tied",
    ),
    Column("best_step", "int64", "step", "optimizer steps done at that evaluation"),
    Column("train_accuracy_last", "float64", "%", "training accuracy since the evaluation before the last"),
    Column("train_loss_last", "float64", "nat", "training cross-entropy since the evaluation before the last"),
    Column("steps", "int64", "step", "optimizer steps done"),
    Column("epochs", "int64", "epoch", "epochs begun"),
)

COST_COLUMNS = (
    Column(
        "wall_seconds",
        "float64",
        "s",
        "from taking the run up in a worker (data, model, measuring) to its result, resumed parts included; "
        "in a cohort an equal share",
        incidental=True,
    ),
    Column("train_seconds", "float64", "s", "the part of it in training steps, batches included", incidental=True),
    Column("examples_per_second", "float64", "1/s", "training examples per second of `train_seconds`", incidental=True),
    Column("peak_memory_bytes", "int64", "byte", "peak of process (CPU) or device (CUDA) memory", incidental=True),
    Column("trainable_parameters", "int64", "parameter", "parameters the optimizer may change"),
    Column("total_parameters", "int64", "parameter", "all parameters, frozen ones and inactive weights included"),
    Column(
        "active_parameters",
        "int64",
        "parameter",
        "all parameters but the inactive weights of sparse layers, which are zero; frozen ones included",
    ),
    Column(
        "training_flops",
        "float64",
        "FLOP",
        "forward and backward passes of all training steps, on images whatever was cached: matrix products, "
        "convolutions and attention, a multiply-add as 2 FLOP, weights by density",
    ),
    Column("inference_flops", "float64", "FLOP", "the same of one example's forward pass"),
    Column(
        "scoring_flops",
        "float64",
        "FLOP",
        "of scoring all edges, by which this run's were chosen: passes through the frozen network and products that "
        "make gradients, whether computed for it or found",
    ),
)


def _about(name: str, dtype: Dtype, meaning: str, unit: str = "", *, incidental: bool = True) -> Column:
    return Column(name, dtype, unit, meaning, incidental)


PROVENANCE_COLUMNS = (
    _about("started", "string", "start of the last execution, ISO 8601", "UTC"),
    _about("finished", "string", "its end, ISO 8601", "UTC"),
    _about("argv", "string", "the command"),
    _about("git_sha", "string", "commit of the working directory, if it is in a git repository"),
    _about("git_dirty", "bool", "whether tracked files differed from that commit"),
    _about("host", "string", "12 hex of the hash of the host's name"),
    _about("platform", "string", "operating system"),
    _about("cpu", "string", "processor"),
    _about("device", "string", "cpu or cuda:N as the worker saw it"),
    _about("threads", "int64", "CPU threads of the worker"),
    _about("device_name", "string", "the GPU"),
    _about("cuda", "string", "CUDA version torch was built for"),
    _about("driver", "string", "NVIDIA kernel driver"),
    _about("python", "string", "Python version"),
    _about("petlsparse_version", "string", "package version"),
    _about("torch_version", "string", "package version"),
    _about("timm_version", "string", "package version"),
    _about("peft_version", "string", "package version"),
    _about("numpy_version", "string", "package version"),
    _about("pandas_version", "string", "package version"),
    _about("classes", "int64", "classes of the data", incidental=False),
    _about("examples_train", "int64", "images that it was trained on", incidental=False),
    _about("examples_val", "int64", "images of the validation part", incidental=False),
    _about("examples_test", "int64", "images of the test part", incidental=False),
    _about("data_fingerprint", "string", "12 hex of the hash of the data used", incidental=False),
    _about("test_fingerprint", "string", "12 hex of the hash of the test part, in its own size", incidental=False),
    _about("backbone_fingerprint", "string", "12 hex of the hash of the pre-trained weights", incidental=False),
    _about(
        "edges", "string", "JSON: the adapters' edges [source, target], also where they were drawn", incidental=False
    ),
    _about(
        "rank",
        "int64",
        "of all adapters or LoRA products, also where it follows from a budget; null where ranks differ",
        incidental=False,
    ),
    _about(
        "forward_fingerprint",
        "string",
        "12 hex of the hash of the backbone's forward pass besides its weights: modules and their settings, mean, std",
        incidental=False,
    ),
    _about(
        "source_fingerprint",
        "string",
        "12 hex of the hash of the user's own files that are named",
        incidental=False,
    ),
    _about("backends", "string", "JSON: sparse layer -> masked or csr, how it was computed"),
    _about(
        "frozen_values",
        "string",
        "float type of the cached values of the frozen network that were trained on; or none, and why",
    ),
    _about("cohort", "int64", "runs that it was trained as one with, itself included; null if trained by itself"),
    _about("warnings", "string", "JSON list of what went wrong without harm"),
)

RUNS = Table(
    "runs",
    "One row per run with a record. Its settings follow `error`, one column for every setting that its study has, "
    "named after the tables of the recipe joined by `_`: `data_name`, `method_kind`, `method_density`, "
    "`optimizer_lr`, `seed`. They have the types of the recipe, whatever the runs hold: whole numbers int64, other "
    "numbers float64, yes or no bool; the rest are strings, of JSON where it is a list. Settings of functions in files "
    "of the user's, and metrics and costs not listed here, are appended: the former with the type that runs recorded, "
    "the latter as float64.",
    (*IDENTITY, *METRIC_COLUMNS, *COST_COLUMNS, *PROVENANCE_COLUMNS, ROLE, SCHEMA_COLUMN),
)

HISTORY = Table(
    "metrics",
    "The course of every run, one row per number, in the order of recording.",
    (
        RUN_ID,
        Column("step", "int64", "step", "optimizer steps done"),
        Column("epoch", "int64", "epoch", "epoch that step belongs to, from 1"),
        Column("split", "string", "", "train, val or test"),
        Column("metric", "string", "", "loss, accuracy, macro_f1; lr of train"),
        Column("value", "float64", "nat, %, ...", "null where it was not a finite number"),
        SCHEMA_COLUMN,
    ),
)

EDGES = Table(
    "edges",
    "adapter-search: the adapters of a run as edges between nodes of the residual stream, with their scores.",
    (
        RUN_ID,
        Column("source", "int64", "node", "node that is read, from 0"),
        Column("target", "int64", "node", "node that is added to"),
        Column("kind", "string", "", "sequential, parallel, long-range or recurrent"),
        Column("score_name", "string", "", "what `value` is"),
        Column("value", "float64", "", "the score"),
        SCHEMA_COLUMN,
    ),
)

TOPOLOGY = Table(
    "topology",
    "dst-sweep: the masks of a run, one row per layer at the start and after every topology update.",
    (
        RUN_ID,
        Column("step", "int64", "step", "optimizer steps done"),
        Column("layer", "string", "", "name of the masked layer in the network"),
        Column("density", "float64", "fraction", "active weights / all weights of the layer"),
        Column("active", "int64", "weight", "active weights"),
        Column("pruned", "int64", "weight", "weights deactivated by this update"),
        Column("grown", "int64", "weight", "weights activated by this update"),
        Column("regrown", "int64", "weight", "weights pruned and activated again by this very update"),
        Column("itop_rate", "float64", "fraction", "weights active at any time so far / all weights of the layer"),
        Column("drop_fraction", "float64", "fraction", "share of the active weights this update replaces"),
        SCHEMA_COLUMN,
    ),
)

TABLES: Mapping[str, Table] = MappingProxyType({t.name: t for t in (RUNS, HISTORY, EDGES, TOPOLOGY)})

PARTS: Mapping[str, Table] = MappingProxyType({t.name: t for t in (EDGES, TOPOLOGY)})
"""The tables whose rows lie beside each run's record in a file of their own."""


def markdown(table: Table) -> str:
    """The section on `table` in `results/README.md`."""
    lines = [
        f"## {table.name}.parquet",
        "",
        table.meaning,
        "",
        "| column | type | unit | meaning | may differ |",
        "|---|---|---|---|---|",
    ]
    for column in table.columns:
        differs = "yes" if column.incidental else ""
        lines.append(f"| `{column.name}` | {column.dtype} | {column.unit} | {column.meaning} | {differs} |")
    return "\n".join(lines) + "\n"
