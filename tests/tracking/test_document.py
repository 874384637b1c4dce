"""One odd record does no harm: whatever value of a record is replaced by whatever other, everything still reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from petlsparse.analysis.compare import compare
from petlsparse.analysis.formats import FORMATS
from petlsparse.analysis.load import load_runs
from petlsparse.recipe.schema import AdapterRun, SparseRun
from petlsparse.tracking.compaction import compact, read_table
from petlsparse.tracking.parts import columns_to_arrow, write_parquet
from petlsparse.tracking.record import CorruptRecord, Record
from petlsparse.tracking.store import Store
from petlsparse.tracking.tables import COST_COLUMNS, METRIC_COLUMNS, PROVENANCE_COLUMNS, TABLES
from tests.tracking.made import topology

ODD = (None, [], [[1, "x"]], {"x": 1}, "\ud800", True, -0.5, 2**63, 10**400)

COMMON: dict[str, Any] = {"data": {"name": "digits"}, "training": {"duration": "2 epochs"}, "seed": 1}
SPARSE = SparseRun.model_validate(
    COMMON
    | {
        "network": {"name": "mlp", "widths": [20, 10]},
        "method": {"kind": "dst", "density": 0.1, "criterion": "magnitude", "growth": "random"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "step"},
    }
)
EXPLICIT = AdapterRun.model_validate(
    COMMON
    | {
        "method": {"kind": "adapters", "placement": {"name": "explicit", "edges": [[1, 2], [3, 4]]}},
        "optimizer": {"name": "adamw", "lr": 1e-3},
    }
)
RANDOM = AdapterRun.model_validate(
    COMMON
    | {
        "method": {"kind": "adapters", "placement": {"name": "random", "count": 3}},
        "optimizer": {"name": "adamw", "lr": 1e-3},
    }
)
VALUES = {"int64": 1, "float64": 0.5, "string": "x", "bool": True}


def whole(run: SparseRun | AdapterRun) -> dict[str, Any]:
    """A record's document with a value in every place."""
    return {
        "schema_version": 2,
        "run_id": run.run_id,
        "study": run.study,
        "recipe": "smoke",
        "status": "done",
        "settings": json.loads(json.dumps(run.settings())),
        "attempts": 1,
        "error": "none",
        "metrics": {column.name: VALUES[column.dtype] for column in METRIC_COLUMNS} | {"test_f1": 0.5},
        "history": [[10, 1, "val", "loss", 0.5]],
        "cost": {column.name: VALUES[column.dtype] for column in COST_COLUMNS} | {"joules": 1},
        "provenance": {column.name: VALUES[column.dtype] for column in PROVENANCE_COLUMNS} | {"room": "cold"},
        "rows": {"topology": 1},
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def oddities(document: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any, dict[str, Any]]]:
    """The document with one value replaced, or left out."""
    for path in places(document):
        for odd in (*ODD, "left out"):
            changed = copy.deepcopy(document)
            *above, last = path
            inner = changed
            for key in above:
                inner = inner[key]
            if odd == "left out":
                del inner[last]
            else:
                inner[last] = odd
            yield path, odd, changed


def put(store: Store, document: dict[str, Any], run_id: str) -> None:
    """The document as the record of a run of that id, with its rows, unless it says whose it is."""
    if document.get("run_id") in (SPARSE.run_id, EXPLICIT.run_id, RANDOM.run_id):
        document["run_id"] = run_id
    store.run_dir(run_id).mkdir()
    columns: dict[str, list[Any]] = {name: [value] for row in topology(10) for name, value in row.items()}
    columns |= {"run_id": [run_id], "schema_version": [1]}
    path = store.part(run_id, "topology")
    write_parquet(path, columns_to_arrow(TABLES["topology"], columns), durable=False)
    (store.run_dir(run_id) / "record.json").write_text(json.dumps(document))


def odd_store(folder: Path, every: int) -> Store:
    """A store of sound runs, and of every so-manieth oddity of each but a newer schema, which is refused."""
    store = Store.create(folder)
    number = 0
    for run in (SPARSE, EXPLICIT, RANDOM):
        documents = [
            document
            for path, odd, document in oddities(whole(run))
            if (run is SPARSE or path[0] == "settings") and (path != ("schema_version",) or type(odd) is not int)
        ]
        for document in [whole(run), *documents[::every]]:
            put(store, document, f"{number:012x}")
            number += 1
    return store


@pytest.mark.filterwarnings("ignore:.*passed over")
def test_a_store_of_oddities_is_compared_in_every_format(tmp_path: Path) -> None:
    runs = load_runs([odd_store(tmp_path / "odd", every=2).path])
    assert set(runs["status"]) == {"done"}
    comparisons = compare(runs)
    assert {"dst-sweep", "adapter-search"} <= {comparison.study for comparison in comparisons}
    for text in FORMATS.values():
        assert text(comparisons)


@pytest.mark.filterwarnings("ignore:.*(passed over|set aside)")
def test_the_holder_sets_oddities_aside_and_the_tables_stay(tmp_path: Path) -> None:
    store = odd_store(tmp_path / "odd", every=10)
    folders = {path.name for path in store.path.glob("runs/*")}
    compact(store)
    aside = {path.parent.name for path in store.path.glob("runs/*/record.json.corrupt")}
    assert len(aside) > 10
    assert set(store.run_ids()) == folders - aside
    for name in TABLES:
        assert set(read_table(store, name)["run_id"]) <= folders - aside
    assert set(read_table(store, "runs")["run_id"]) == folders - aside
    before = store.table("runs").stat().st_ino
    compact(store)
    assert store.table("runs").stat().st_ino == before  # up to date


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        (("history",), None),
        (("history", 0), [10, 1, "val", "loss"]),
        (("history", 0, 0), "10"),
        (("history", 0, 0), 2**63),
        (("metrics",), None),
        (("metrics", "test_accuracy"), "90"),
        (("metrics", "test_accuracy"), [90.0]),
        (("metrics", "test_accuracy"), True),
        (("metrics", "test_accuracy"), float("nan")),
        (("cost", "training_flops"), float("inf")),
        (("metrics", "test_accuracy"), 10**400),
        (("metrics", "best_step"), 1.5),
        (("metrics", "test_f1"), "high"),
        (("cost", "peak_memory_bytes"), 2**63),
        (("settings",), []),
        (("settings", "method", "update_period"), 2**63),
        (("settings", "method", "density"), "0.1"),
        (("settings", "method", "update_last_step"), 1),
        (("settings", "network", "widths"), 3),
        (("settings", "seed"), "1"),
        (("attempts",), "1"),
        (("attempts",), -1),
        (("status",), "finished"),
        (("rows", "topology"), "1"),
        (("rows", "topology"), 1.5),
        (("rows",), {"../topology": 1}),
        (("run_id",), "../aaaaaaaaaa"),
        (("provenance", "threads"), "four"),
        (("provenance", "git_dirty"), "yes"),
        (("provenance",), []),
        (("schema_version",), 1.0),
        (("more",), 1),
    ],
)
def test_what_does_not_fit_is_damage_and_is_named(path: tuple[Any, ...], odd: Any) -> None:
    document = whole(SPARSE)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    with pytest.raises(CorruptRecord) as caught:
        Record.from_json(json.dumps(document))
    assert path[0] in str(caught.value) or "schema version" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_large_whole_number_is_sound_where_a_column_has_floats() -> None:
    document = whole(SPARSE)
    document["cost"]["training_flops"] = 10**20
    document["settings"]["optimizer"]["lr"] = 1
    assert Record.from_json(json.dumps(document)).cost["training_flops"] == 10**20


def test_what_was_not_recorded_yet_may_be_missing() -> None:
    document = whole(SPARSE)
    for name in ("attempts", "error", "metrics", "history", "cost", "provenance", "rows"):
        del document[name]
    record = Record.from_json(json.dumps(document))
    assert (record.attempts, record.error, record.metrics, record.history) == (1, None, {}, [])
