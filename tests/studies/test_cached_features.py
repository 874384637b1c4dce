"""Runs on cached values of the frozen network: the results of runs on images, whoever fills the cache and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.backbones import load_backbone
from petlsparse.backbones.stream import ResidualStream
from petlsparse.data.types import Dataset
from petlsparse.errors import UserError
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.studies import adapter_search, cached_features, check_runs
from petlsparse.training.result import RunResult
from tests.studies.settings import ADAPTED, execute, lasting, make

EDGES = {
    "parallel": [[3, 4], [4, 5]],
    "sequential": [[0, 0], [5, 5]],
    "long-range": [[1, 6], [0, 12]],
    "recurrent": [[12, 8], [9, 7]],
    "all kinds": [[8, 2], [3, 4], [5, 9], [6, 6]],
}
METHODS: dict[str, dict[str, Any]] = {
    "linear probe": {"kind": "linear-probe"},
    **{name: {"kind": "adapters", "placement": {"name": "explicit", "edges": edges}} for name, edges in EDGES.items()},
}
TOLERANCE = 1e-4
"""Relative, of losses and weights after two epochs in float32."""


def cached(folder: Path, size: int = 2**30) -> Execution:
    return Execution(cache_memory=size, cache_folder=folder)


def said(result: RunResult) -> str:
    return result.provenance_extra["frozen_values"]


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "float32") for name in METHODS), ("all kinds", "bf16"), ("linear probe", "bf16")]
)
def test_cached_runs_end_where_runs_on_images_end(name: str, precision: str, tmp_path: Path) -> None:
    run = make(ADAPTED, method=METHODS[name], backbone={**ADAPTED["backbone"], "frozen_precision": precision})
    on_images = execute(run, tmp_path / "images", keep="last")
    on_values = execute(run, tmp_path / "values", keep="last", execution=cached(tmp_path / "cache"))
    assert (said(on_values), said(on_images)) == (precision, "none: --cache-memory is off")
    for metric, value in on_images.metrics.items():
        if "loss" in metric:
            assert on_values.metrics[metric] == pytest.approx(value, rel=TOLERANCE)
    ours, theirs = (load_file(tmp_path / folder / "last.safetensors") for folder in ("values", "images"))
    for key, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[key], rtol=TOLERANCE, atol=TOLERANCE)


def test_frozen_values_in_bf16_are_another_run_with_another_result(tmp_path: Path) -> None:
    exact, rounded = (
        execute(make(ADAPTED, backbone={**ADAPTED["backbone"], "frozen_precision": precision}), tmp_path / precision)
        for precision in ("float32", "bf16")
    )
    assert exact.metrics["train_loss_last"] != rounded.metrics["train_loss_last"]


def test_who_fills_the_cache_and_a_resume_change_no_bit(tmp_path: Path) -> None:
    run = make(ADAPTED)
    alone = execute(run, tmp_path / "alone", execution=cached(tmp_path / "one"))
    shared = cached(tmp_path / "two")
    for node in (12, 2):  # other placements fill part of what the run needs, in another order
        other = {"kind": "adapters", "placement": {"name": "explicit", "edges": [[node, 0]]}}
        execute(make(ADAPTED, method=other), tmp_path / str(node), execution=shared)
    assert lasting(execute(run, tmp_path / "among", execution=shared)) == lasting(alone)

    calls = iter([False, False, False, False, False, True])
    stopped = execute(run, tmp_path / "cut", stop=lambda: next(calls), execution=shared)
    assert stopped.status == "interrupted"
    resumed = execute(run, tmp_path / "cut", execution=cached(tmp_path / "three"))
    assert said(resumed) == "float32"
    assert lasting(resumed) == lasting(alone)


def test_damage_of_a_cache_changes_no_bit_and_the_row_says_so(tmp_path: Path) -> None:
    run, cache = make(ADAPTED, training={"batch_size": 25, "duration": "1 epoch"}), cached(tmp_path / "cache")
    whole = execute(run, tmp_path / "whole", execution=cache)
    file = min((tmp_path / "cache").glob("*-train-*"))
    damaged = bytearray(file.read_bytes())
    damaged[3] ^= 64  # the exponent of the first float
    file.write_bytes(damaged)
    result = execute(run, tmp_path / "again", execution=cache)
    assert lasting(result) == lasting(whole)
    warning = f"a file of kept values was damaged, they are computed again: {file}"
    assert (whole.provenance_extra["warnings"], result.provenance_extra["warnings"]) == ([], [warning])


def test_a_run_goes_on_as_it_began(tmp_path: Path) -> None:
    """Begun without a cache it continues without, even where there is one; begun with one and refused it says so."""
    run, on_images = make(ADAPTED), execute(make(ADAPTED), tmp_path / "whole")
    calls = iter([False, True])
    execute(run, tmp_path / "cut", stop=lambda: next(calls))
    resumed = execute(run, tmp_path / "cut", execution=cached(tmp_path / "cache"))
    assert said(resumed) == "none: --cache-memory is off"
    assert not (tmp_path / "cache").exists()
    assert lasting(resumed) == lasting(on_images)

    calls = iter([False, True])
    execute(run, tmp_path / "other", stop=lambda: next(calls), execution=cached(tmp_path / "cache"))
    resumed = execute(run, tmp_path / "other")
    assert said(resumed) == "none: --cache-memory is off; begun with float32"
    assert resumed.metrics["test_loss"] == pytest.approx(on_images.metrics["test_loss"], rel=TOLERANCE)


# Two nodes, 100 images of training and 200 of validation, 5 tokens of 96 floats of four bytes.
NEEDED = 2 * 300 * 5 * 96 * 4 / 2**20

REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "augmentation": ({"data": {**ADAPTED["data"], "augment": "flip"}}, 2**30, "none: images are augmented"),
    "full fine-tuning": (
        {"method": {"kind": "full-finetuning"}},
        2**30,
        "none: full-finetuning changes the backbone",
    ),
    "a part of the images": (
        {"training": {"batch_size": 25, "duration": "3 steps"}},
        2**30,
        "none: training does not see every image",
    ),
    "no room": ({}, 2**20, f"none: needs {NEEDED:.1f} MiB, --cache-memory allows 1.0 MiB"),
    "off": ({}, 0, "none: --cache-memory is off"),
}


@pytest.mark.parametrize(("tables", "size", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_where_a_cache_would_change_the_result_or_not_pay_there_is_none_and_the_row_says_why(
    tables: dict[str, Any], size: int, reason: str, tmp_path: Path
) -> None:
    run = make(ADAPTED, **tables)
    result = execute(run, tmp_path / "asked", execution=cached(tmp_path / "cache", size))
    assert said(result) == reason
    assert not list((tmp_path / "cache").glob("*-train-*"))
    assert lasting(result) == lasting(execute(run, tmp_path / "not", execution=INSPECT_ONLY))


def test_a_second_run_computes_only_the_nodes_the_first_did_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    computed: list[set[int]] = []
    original = cached_features.frozen_features

    def watched(stream: Any, images: Any, nodes: Any, *rest: Any, **more: Any) -> Any:
        computed.append(set(nodes))
        return original(stream, images, nodes, *rest, **more)

    monkeypatch.setattr(cached_features, "frozen_features", watched)
    passes = []
    for edges in ([[12, 8]], [[11, 8], [12, 9]], [[12, 8], [8, 8]]):
        method = {"kind": "adapters", "placement": {"name": "explicit", "edges": edges}}
        execute(make(ADAPTED, method=method), tmp_path / str(edges), execution=cached(tmp_path / "cache"))
        passes.append(set().union(*computed))
        computed.clear()
    assert passes == [{8, 12}, {11}, set()]


def test_the_test_split_is_read_once_as_images_and_never_cached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[int] = []
    original = Dataset.test

    def counted(dataset: Dataset) -> Any:
        read.append(sum(path.stat().st_size for path in (tmp_path / "cache").glob("*-*")))
        return original(dataset)

    monkeypatch.setattr(Dataset, "test", counted)
    execute(make(ADAPTED), tmp_path / "run", execution=cached(tmp_path / "cache"))
    after = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*-*"))
    assert read == [after]


def test_values_computed_in_another_arithmetic_are_other_values(tmp_path: Path) -> None:
    cpu, seen = torch.device("cpu"), []
    for precision in ("float32", "tf32", "bf16", "float32"):
        run = make(ADAPTED, training={**ADAPTED["training"], "precision": precision})
        adapter_search.assemble(run, cpu, cached(tmp_path / "cache"))
        seen.append(len(list((tmp_path / "cache").glob("*-train-*"))))
    assert seen == [seen[0], 2 * seen[0], 3 * seen[0], 3 * seen[0]]
    assert seen[0] > 0


def test_without_a_validation_split_training_values_alone_are_cached(tmp_path: Path) -> None:
    run = make(ADAPTED, data={**ADAPTED["data"], "train_on": "train+val"})
    result = execute(run, tmp_path / "run", execution=cached(tmp_path / "cache"))
    assert said(result) == "float32"
    assert result.metrics["test_loss"] == pytest.approx(
        execute(run, tmp_path / "images").metrics["test_loss"], rel=TOLERANCE
    )


def test_equal_weights_in_another_forward_pass_share_neither_cache_nor_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def with_heads(count: int) -> None:
        def load(*args: Any, **kwargs: Any) -> ResidualStream:
            stream = load_backbone(*args, **kwargs)
            for block in stream.vit.blocks:
                block.attn.num_heads, block.attn.head_dim = count, 96 // count
            return stream

        monkeypatch.setattr(adapter_search, "load_backbone", load)

    run = make(ADAPTED)
    shared, calls = cached(tmp_path / "cache"), iter([False, True])
    with_heads(3)
    execute(run, tmp_path / "cut", stop=lambda: next(calls), execution=shared)
    with_heads(6)
    alone = execute(run, tmp_path / "alone", execution=cached(tmp_path / "own"))
    went_on = execute(run, tmp_path / "cut", execution=shared)
    assert lasting(went_on) == lasting(alone)
    (warning,) = went_on.provenance_extra["warnings"]
    assert "forward pass" in warning


@pytest.mark.parametrize("first", ["full-finetuning", "linear-probe"])
def test_full_fine_tuning_has_no_frozen_values_to_round(first: str) -> None:
    backbone = {**ADAPTED["backbone"], "frozen_precision": "bf16"}
    second = {"linear-probe": "full-finetuning", "full-finetuning": "linear-probe"}[first]
    runs = [make(ADAPTED, backbone=backbone, method={"kind": kind}) for kind in (first, second)]
    by_id = {run.run_id: run for run in runs}
    with pytest.raises(UserError, match=r"backbone\.frozen_precision"):
        check_runs(by_id).require(by_id)


@pytest.mark.gpu
def test_on_cuda_values_lie_on_the_device_and_cached_runs_agree_with_runs_on_images(tmp_path: Path) -> None:
    def result(name: str, execution: Execution) -> RunResult:
        return execute(make(ADAPTED), tmp_path / name, execution=execution, device="cuda")

    on_images, on_values = result("images", INSPECT_ONLY), result("values", cached(tmp_path / "cache"))
    assert said(on_values) == "float32"
    assert on_values.metrics["test_loss"] == pytest.approx(on_images.metrics["test_loss"], rel=1e-3)
    run, cuda = make(ADAPTED), torch.device("cuda")
    frozen = adapter_search.assemble(run, cuda, cached(tmp_path / "cache")).loaders
    assert frozen is not None
    assert all(values.is_cuda for loader in frozen for values in loader.values.values())
