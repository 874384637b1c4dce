"""Every setting reaches what it is for: what changes the run's id changes what is put together for it.

A new setting fails here until it has a line in `CASES`: a base in which it acts, and another value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from petlsparse.recipe.execution import INSPECT_ONLY
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import RUN_TYPES, TAGS, Run, models_of, tables_of, validate_run
from petlsparse.scores import SCORES
from petlsparse.studies import STUDIES, adapter_search, dst_sweep
from petlsparse.studies.assembly import arithmetic_of
from petlsparse.studies.members import build_member
from tests.studies.walk import described

CPU = torch.device("cpu")
DST = {
    "kind": "dst", "density": 0.3, "criterion": "mest", "growth": "random", "update_period": 3, "drop_fraction": 0.4,
}  # fmt: skip
SGD, ADAM, ADAMW = ({"name": name, "lr": 0.1, "weight_decay": 0.01} for name in ("sgd", "adam", "adamw"))
GROUPS = {"head_lr": 0.3, "layer_decay": 0.8, "decay_norms_and_biases": False}
SPARSE = {
    "study": "dst-sweep", "data": {"name": "digits"}, "network": {"name": "mlp", "widths": [12, 8]}, "method": DST,
    "optimizer": SGD, "training": {"duration": "2 epochs", "batch_size": 100}, "seed": 1,
}  # fmt: skip
ADAPTERS = {"kind": "adapters", "placement": {"name": "random", "count": 3}}
GUIDED = {"kind": "adapters", "placement": {"name": "top-k", "count": 20}, "score": "frobenius-norm"}
BY_RANK = GUIDED | {"score": "srank"}
DRAWN = (0, 8)  # one of its edges
ADAPTED = {
    "study": "adapter-search", "data": {"name": "digits", "train_examples": 50},
    "backbone": {"pretrained": False, "image_size": 16},
    "method": ADAPTERS, "optimizer": ADAMW, "training": {"duration": "2 epochs", "batch_size": 25}, "seed": 1,
}  # fmt: skip
FOLDER = {"name": "folder:images", "image_size": 8}

# (study, table, kind or None): the table to start from, and field -> another value, the whole table with another value,
# or a table to start from and one with another value.
Cases = Mapping[tuple[str, str, str | None], tuple[dict[str, Any], dict[str, Any] | None]]
CASES: dict[tuple[str, str, str | None], tuple[dict[str, Any], dict[str, Any]]] = {
    ("dst-sweep", "data", None): (
        FOLDER,
        {
            "name": "digits", "image_size": 10, "train_examples": 12, "augment": "flip", "train_on": "train+val",
            "image_fit": "crop", "background": "black", "val_fraction": 0.3, "test_fraction": 0.4,
            "image_column": "other", "label_column": "other",
        },
    ),
    ("adapter-search", "data", None): (
        {"name": "folder:images"},
        {
            "name": "digits", "image_size": None, "train_examples": 12, "augment": "flip", "train_on": "train+val",
            "image_fit": "crop", "background": "black", "val_fraction": 0.3, "test_fraction": 0.4,
            "image_column": "other", "label_column": "other",
        },
    ),
    ("dst-sweep", "network", "mlp"): ({"name": "mlp", "widths": [12, 8]}, {"widths": [12, 9], "dropout": 0.2}),
    **{("dst-sweep", "network", name): ({"name": name}, {}) for name in ("lenet5", "small-conv", "vit-micro")},
    **{
        ("dst-sweep", "method.criterion", name): (DST | {"criterion": name}, {})
        for name in ("magnitude", "set", "snip", "reciprocal-sensitivity", "sensitivity", "random")
    },
    ("dst-sweep", "method.criterion", "ema-magnitude"): (
        DST | {"criterion": "ema-magnitude"},
        {"decay": DST | {"criterion": {"name": "ema-magnitude", "decay": 0.5}}},
    ),
    ("dst-sweep", "method.criterion", "mest"): (DST, {"lambda": DST | {"criterion": {"name": "mest", "lambda": 2.0}}}),
    **{("dst-sweep", "method.growth", name): (DST | {"growth": name}, {}) for name in ("random", "gradient")},
    **{
        ("adapter-search", "method.placement", name): (ADAPTERS | {"placement": name}, {})
        for name in (
            "all-parallel", "all-sequential", "attention-parallel", "ffn-parallel", "after-attention", "after-ffn",
            "after-sub-blocks",
        )
    },
    ("adapter-search", "method.placement", "explicit"): (
        ADAPTERS | {"placement": {"name": "explicit", "edges": [[1, 3]]}},
        {"edges": ADAPTERS | {"placement": {"name": "explicit", "edges": [[1, 2]]}}},
    ),
    ("adapter-search", "method.placement", "random"): (
        ADAPTERS,
        {
            name: ADAPTERS | {"placement": ADAPTERS["placement"] | {name: value}}
            for name, value in {"count": 4, "edge_kind": "recurrent", "seed": 1}.items()
        },
    ),
    **{
        ("adapter-search", "method.placement", name): (
            ADAPTERS | {"placement": {"name": name, "count": 3}},
            {"count": ADAPTERS | {"placement": {"name": name, "count": 4}}},
        )
        for name in ("first-k", "last-k")
    },
    ("adapter-search", "method.placement", "top-k"): (
        GUIDED,
        {"count": GUIDED | {"placement": {"name": "top-k", "count": 21}}},
    ),
    ("adapter-search", "method.placement", "gradient-guided"): (
        GUIDED | {"placement": {"name": "gradient-guided", "count": 20}},
        {
            name: GUIDED | {"placement": {"name": "gradient-guided", "count": 20, name: value}}
            for name, value in {"count": 21, "gamma": 0.2}.items()
        },
    ),
    **{("adapter-search", "method.score", name): (GUIDED | {"score": name}, {}) for name in SCORES},
    **{
        ("adapter-search", "method.score", name): (
            GUIDED | {"score": name},
            {field: GUIDED | {"score": {"name": name, field: value}}},
        )
        for name, field, value in (("srank", "eta", 0.3), ("numerical-rank", "tolerance", 0.2), ("random", "seed", 1))
    },
    ("adapter-search", "backbone", None): (
        ADAPTED["backbone"],
        {
            "name": "vit_tiny_patch16_224", "pretrained": True, "image_size": 64, "frozen_precision": "bf16",
            "mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0],
        },
    ),
    ("dst-sweep", "method", "dense"): ({"kind": "dense"}, {}),
    ("dst-sweep", "method", "static"): (
        {"kind": "static", "density": 0.3},
        {"density": 0.4, "distribution": "uniform"},
    ),
    ("dst-sweep", "method", "dst"): (
        DST,
        {
            "density": 0.4, "distribution": "uniform", "criterion": "snip", "growth": "gradient", "update_period": 4,
            "drop_fraction": 0.5, "drop_schedule": "constant", "update_stop": 0.75, "update_last_step": True,
            "update_point": "after-step", "optimizer_state": "dense", "regrown": "keep",
            "scope": "global",
        },
    ),
    ("adapter-search", "method", "linear-probe"): ({"kind": "linear-probe"}, {}),
    ("adapter-search", "method", "full-finetuning"): ({"kind": "full-finetuning"}, {}),
    ("adapter-search", "method", "bitfit"): ({"kind": "bitfit"}, {}),
    ("adapter-search", "method", "layer-norm"): ({"kind": "layer-norm"}, {}),
    ("adapter-search", "method", "layer-wise-probe"): ({"kind": "layer-wise-probe", "node": 4}, {"node": 5}),
    ("adapter-search", "method", "adapters"): (
        ADAPTERS,
        {
            "placement": {"name": "first-k", "count": 3}, "rank": 4, "activation": "gelu", "layer_norm": False,
            "bias": True, "scale": 2.0, "scale_kind": "channel", "dropout": 0.1, "init": "houlsby",
            "ranks": [[*DRAWN, 4]], "parameters": 2000, "feedback": False,
            "score": (GUIDED, GUIDED | {"score": "srank"}),
            **{
                name: (GUIDED, GUIDED | {name: value})
                for name, value in {
                    "scoring_images": 20, "scoring_head": "probe", "scoring_gradient": "bottleneck",
                    "scoring_sketch": 3,
                }.items()
            },
            "scoring_seed": (BY_RANK, BY_RANK | {"scoring_seed": 2}),
        },
    ),
    ("adapter-search", "method", "score"): (
        {"kind": "score", "scores": ["srank"]},
        dict.fromkeys(("scores", "scoring_images", "scoring_head", "scoring_gradient", "scoring_sketch", "rank")),
    ),
    ("adapter-search", "method", "lora"): (
        {"kind": "lora"},
        {
            "targets": ["fc1", "qkv"], "rank": 4, "ranks": [["qkv", 2]], "parameters": 9000, "alpha": 4.0,
            "dropout": 0.1, "init": "gaussian",
        },
    ),
    **{
        (study, "optimizer", "sgd"): (
            SGD,
            {"lr": 0.2, "momentum": 0.8, "nesterov": False, "weight_decay": 0.1, **GROUPS},
        )
        for study in RUN_TYPES
    },
    **{
        (study, "optimizer", table["name"]): (
            table,
            {"lr": 0.2, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6, "weight_decay": 0.1, **GROUPS},
        )
        for study in RUN_TYPES
        for table in (ADAM, ADAMW)
    },
    **{(study, "schedule", "constant"): ({"name": "constant"}, {"warmup": "3 steps"}) for study in RUN_TYPES},
    **{
        (study, "schedule", "step"): (
            {"name": "step"},
            {"warmup": "3 steps", "milestones": [0.4, 0.75], "factor": 0.2},
        )
        for study in RUN_TYPES
    },
    **{
        (study, "schedule", "cosine"): ({"name": "cosine"}, {"warmup": "3 steps", "final_fraction": 0.1})
        for study in RUN_TYPES
    },
    **{
        (base["study"], "training", None): (
            base["training"],
            {
                "batch_size": 30, "duration": "3 epochs", "evaluate_every": "1 step", "precision": "bf16",
                "label_smoothing": 0.1, "deterministic": False, "select_by": "macro_f1",
            },
        )
        for base in (SPARSE, ADAPTED)
    },
}  # fmt: skip
BASES = {"dst-sweep": SPARSE, "adapter-search": ADAPTED}
ELSEWHERE = {
    ("adapter-search", "data", "image_size"): "may only say what the backbone takes anyway",
    **{
        (study, "data", f"{what}_column"): "refused of folders: tests/data/test_tables.py"
        for study in RUN_TYPES
        for what in ("image", "label")
    },
    ("dst-sweep", "optimizer", "head_lr"): "refused: nothing is pre-trained",
    ("dst-sweep", "optimizer", "layer_decay"): "refused: nothing is pre-trained",
    ("adapter-search", "optimizer", "layer_decay"): "tested below: where layers of the backbone are trained",
    **{
        ("adapter-search", "method", "score", field): "nothing is put together to be trained: studies/test_scoring.py"
        for field in ("scores", "scoring_images", "scoring_head", "scoring_gradient", "scoring_sketch", "rank")
    },
}


@pytest.fixture(autouse=True, scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Oblong images with transparent corners, in two classes, below a data root."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(60):
        path = root / "images" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (12, 20, 4), dtype=np.uint8)
        pixels[:4, :, 3] = 0
        Image.fromarray(pixels).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETLSPARSE_DATA", str(root))
        yield


def put_together(run: Run) -> Any:
    """Everything that training this run would start from, the run's own id and the count of its cost aside."""
    study = {"dst-sweep": dst_sweep, "adapter-search": adapter_search}[run.study]
    with arithmetic_of(run, CPU):
        arithmetic = torch.are_deterministic_algorithms_enabled()
        assembly = study.assemble(run, CPU, INSPECT_ONLY)
        training = build_member(run, assembly, CPU, output=Output())
    training.run_id = ""
    factors = [training.schedule(step) for step in range(1, training.settings.total_steps + 1)]
    test = training.read_test()
    return described([training, factors, test, arithmetic])


def cases() -> Iterator[Any]:
    for (study, table, kind), (start, others) in CASES.items():
        for field, value in others.items():
            if not {(study, table, field), (study, table, kind, field)} & ELSEWHERE.keys():
                yield pytest.param(study, table, start, field, value, id=f"{study}:{kind or ''}:{table}.{field}")


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """What was put together, by run id."""
    return {}


@pytest.mark.parametrize(("study", "table", "start", "field", "value"), list(cases()))
def test_a_setting_that_changes_the_run_changes_what_is_put_together(
    study: str, table: str, start: dict[str, Any], field: str, value: Any, known: dict[str, Any]
) -> None:
    if isinstance(value, tuple):
        start, changed = value
    else:
        changed = value if isinstance(value, dict) and field != "placement" else start | {field: value}
    one, other = (validate_run(BASES[study] | {table.partition(".")[0]: each}) for each in (start, changed))
    assert one.run_id != other.run_id
    for run in (one, other):
        if run.run_id not in known:
            known[run.run_id] = put_together(run)
    assert known[one.run_id] != known[other.run_id]


def test_the_name_of_a_network_changes_what_is_put_together() -> None:
    base = SPARSE | {"data": {"name": "digits", "image_size": 32}}
    runs = [validate_run(base | {"network": {"name": name}}) for name in ("mlp", "lenet5", "small-conv")]
    one, two, three = map(put_together, runs)
    assert one != two != three != one


@pytest.mark.parametrize("optimizer", [SGD, ADAM, ADAMW], ids=lambda table: table["name"])
@pytest.mark.parametrize("kind", ["full-finetuning", "bitfit", "layer-norm"])
def test_layer_decay_changes_what_is_put_together(optimizer: dict[str, Any], kind: str) -> None:
    base = ADAPTED | {"method": {"kind": kind}}
    one, other = (validate_run(base | {"optimizer": optimizer | more}) for more in ({}, {"layer_decay": 0.8}))
    assert put_together(one) != put_together(other)


def test_the_same_run_is_put_together_alike_twice() -> None:
    for base in BASES.values():
        run = validate_run(base)
        assert put_together(run) == put_together(run)


@pytest.mark.parametrize("study", STUDIES)
def test_every_setting_of_every_kind_has_its_case(study: str) -> None:
    assert lacking(study, CASES) == [], "add a case to CASES for each of these"


def lacking(study: str, cases: Cases) -> list[tuple[str, str | None, set[str]]]:
    """(table, kind, settings) of which there is no case, or one of a setting that is none."""
    found = []
    for table in tables_of(study):
        for model in models_of(study, table):
            tag = TAGS.get(table)
            kind = model.model_fields[tag].default if tag else None
            _, others = cases.get((study, table, kind), ({}, None))
            settings = set(model.model_fields) - {tag}
            if others is None or set(others) != settings:
                found.append((table, kind, settings ^ set(others or ())))
    return found


def test_all_settings_without_a_case_are_named() -> None:
    fewer = dict(CASES)
    del fewer["dst-sweep", "network", "lenet5"]
    del fewer["dst-sweep", "network", "mlp"]
    fewer["dst-sweep", "method", "static"] = ({}, {"density": 0.4})
    assert lacking("dst-sweep", fewer) == [
        ("network", "mlp", {"widths", "dropout"}),
        ("network", "lenet5", set()),
        ("method", "static", {"distribution"}),
    ]


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_the_seed_and_every_kind_change_what_is_put_together(base: dict[str, Any]) -> None:
    runs = [validate_run(base | {"seed": 2})]
    for (study, table, kind), (start, _) in CASES.items():
        # Other networks take other images; two scores may choose the same edges; to score needs but a probe.
        if study == base["study"] and kind not in (None, "score") and table not in ("network", "method.score"):
            runs.append(validate_run(base | {table.partition(".")[0]: start}))
    different = {run.run_id: put_together(run) for run in [validate_run(base), *runs]}
    found = list(different.values())
    assert all(found[i] != found[k] for i in range(len(found)) for k in range(i))
