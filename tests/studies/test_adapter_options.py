"""Options of adapters in runs: what has state is resumed, cached and trained as one with the results that it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.cohorts.keys import cohort_key
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies import describe
from tests.studies.settings import ADAPTED, execute, lasting, make


def run(**changes: Any) -> Run:
    return make(ADAPTED, method={**ADAPTED["method"], **changes})


@pytest.mark.parametrize("scale_kind", ["channel", "fixed"])
def test_a_stopped_run_with_dropout_ends_where_a_whole_one_does_to_the_bit(tmp_path: Path, scale_kind: str) -> None:
    dropping = run(dropout=0.3, scale_kind=scale_kind, init="bert", scale=0.5)
    whole = execute(dropping, tmp_path / "whole", keep="last")
    calls = iter([False] * 4 + [True])
    assert execute(dropping, tmp_path / "cut", keep="last", stop=lambda: next(calls)).status == "interrupted"
    assert lasting(execute(dropping, tmp_path / "cut", keep="last")) == lasting(whole)
    ours, theirs = (load_file(tmp_path / folder / "last.safetensors") for folder in ("cut", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    kept = [name for name in ours if name.endswith("alpha")]
    assert len(kept) == (3 if scale_kind == "channel" else 0)
    scales = [row["value"] for row in whole.rows["edges"] if row["score_name"] == "scale"]
    assert (scales == [0.5] * 3) is (scale_kind == "fixed")


def test_dropout_is_the_same_on_cached_values_and_changes_the_result(tmp_path: Path) -> None:
    execution = replace(INSPECT_ONLY, cache_memory=2**30, cache_folder=tmp_path / "cache")
    on_images = lasting(execute(run(dropout=0.3), tmp_path / "images"))
    cached = execute(run(dropout=0.3), tmp_path / "cached", execution=execution)
    assert cached.provenance_extra["frozen_values"] == "float32"
    assert lasting(cached)["metrics"] == pytest.approx(on_images["metrics"], rel=1e-4)
    without = lasting(execute(run(), tmp_path / "without"))["metrics"]
    assert without["train_loss_last"] != pytest.approx(on_images["metrics"]["train_loss_last"], rel=1e-3)


def test_runs_with_dropout_are_trained_alone_and_those_of_other_scales_apart() -> None:
    kinds = ("scalar", "channel", "fixed")
    keys = {kind: cohort_key(run(scale_kind=kind), "cpu", Execution(cohort=4)) for kind in kinds}
    assert None not in keys.values()
    assert len(set(keys.values())) == 3
    assert cohort_key(run(init="bert", scale=2.0), "cpu", Execution(cohort=4)) == keys["scalar"]
    assert cohort_key(run(dropout=0.1), "cpu", Execution(cohort=4)) is None


def test_what_is_trained_of_a_scale_is_counted() -> None:
    scalar, channel, fixed = (
        describe(run(scale_kind=kind)).cost["trainable_parameters"] for kind in ("scalar", "channel", "fixed")
    )
    assert channel - scalar == 3 * (96 - 1)  # three adapters in a network of width 96
    assert scalar - fixed == 3
