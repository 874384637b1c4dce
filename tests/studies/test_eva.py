"""adapter-search on timm's Eva models, from a checkpoint: alone, as one, on cached values, stopped and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies import check_runs
from tests.backbones.test_eva import save_folder, small
from tests.studies.settings import ADAPTED, execute, lasting, make
from tests.studies.test_cohorts import execute_all

METHODS = [
    {"kind": "adapters", "placement": {"name": "explicit", "edges": [[4, 1], [1, 2], [2, 4]]}},  # 5 nodes
    {"kind": "adapters", "placement": "all-parallel"},
    {"kind": "adapters", "placement": {"name": "explicit", "edges": [[0, 3], [3, 3]]}},
]


@pytest.fixture(
    scope="module",
    params=[pytest.param("vit_small_patch16_dinov3", marks=pytest.mark.slow), "vit_small_patch16_rope_mixed_224"],
)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    model, arguments = small(request.param)
    for parameter in model.parameters():
        parameter.data.mul_(0.1)
    folder = save_folder(model, tmp_path_factory.mktemp("checkpoint") / request.param, **arguments)
    return [make(ADAPTED, backbone={"name": folder, "image_size": 32}, method=method) for method in METHODS]


def test_a_stopped_run_ends_where_a_whole_one_does_on_images_or_cached_values(runs: list[Run], tmp_path: Path) -> None:
    on_values = Execution(cache_memory=2**30, cache_folder=tmp_path / "cache")
    losses = []
    for name, execution in {"images": INSPECT_ONLY, "values": on_values}.items():
        whole = execute(runs[0], tmp_path / name / "whole", execution=execution)
        calls = iter([False] * 4 + [True])
        cut = execute(runs[0], tmp_path / name / "cut", execution=execution, stop=lambda calls=calls: next(calls))
        assert cut.status == "interrupted"
        assert lasting(execute(runs[0], tmp_path / name / "cut", execution=execution)) == lasting(whole)
        assert whole.provenance_extra["frozen_values"] == (
            "float32" if name == "values" else "none: --cache-memory is off"
        )
        losses.append(whole.metrics["test_loss"])
        assert {row["kind"] for row in whole.rows["edges"]} == {"recurrent", "parallel", "long-range"}
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_placements_as_one_end_where_they_end_alone_also_stopped(runs: list[Run], tmp_path: Path) -> None:
    asked = Execution(cohort=3, cache_memory=2**30, cache_folder=tmp_path / "cache")
    whole = execute_all(runs, tmp_path / "whole", execution=asked)
    calls = iter([False] * 3 + [True])
    execute_all(runs, tmp_path / "cut", execution=asked, stop=lambda: next(calls))
    for run, result in zip(runs, whole, strict=True):
        assert result is not None
        assert result.provenance_extra["cohort"] == 3
        alone = execute(run, tmp_path / "alone" / run.run_id, execution=replace(asked, cohort="off"))
        resumed = execute(run, tmp_path / "cut" / run.run_id, execution=asked)
        for other in (alone, resumed):
            assert other.metrics["test_loss"] == pytest.approx(result.metrics["test_loss"], rel=1e-4)


def test_other_heads_over_equal_weights_are_another_forward_pass(tmp_path: Path) -> None:
    fingerprints = []
    for heads in (4, 2):
        model, arguments = small("vit_small_patch16_dinov3")
        folder = save_folder(model, tmp_path / str(heads), **{**arguments, "num_heads": heads})
        run = make(ADAPTED, backbone={"name": folder, "image_size": 32}, method={"kind": "linear-probe"})
        fingerprints.append(check_runs({run.run_id: run}).fingerprints[run.run_id])
    assert fingerprints[0]["backbone_fingerprint"] == fingerprints[1]["backbone_fingerprint"]
    assert fingerprints[0]["forward_fingerprint"] != fingerprints[1]["forward_fingerprint"]


def test_full_fine_tuning_trains_what_the_rotary_table_is_made_of(tmp_path: Path) -> None:
    model, arguments = small("vit_small_patch16_rope_mixed_224")
    folder = save_folder(model, tmp_path / "mine", **arguments)
    run = make(ADAPTED, backbone={"name": folder, "image_size": 32}, method={"kind": "full-finetuning"})
    execute(run, tmp_path / "run", keep="last")
    trained = load_file(tmp_path / "run" / "last.safetensors")["stream.vit.rope.freqs"]
    assert not torch.equal(trained, model.state_dict()["rope.freqs"])
