"""Which layers of a run are truly sparse: as asked for, as measured, as in the checkpoint; refused where impossible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from petlsparse.errors import UserError
from petlsparse.recipe.execution import INSPECT_ONLY, Backend, Execution
from petlsparse.recipe.schema import Run
from petlsparse.sparsity.csr_layer import CsrLayer
from petlsparse.sparsity.geometry import LayerGeometry
from petlsparse.studies import dst_sweep
from tests.studies.settings import SPARSE, execute, lasting, make

CPU = torch.device("cpu")
AUTO, CSR = Execution(), Execution(backend="csr")
WIDE = {"name": "mlp", "widths": [300, 20]}  # 64-300-20-10: weights 19,200, 6,000 and 200
MASKED = {"fc1": "masked", "fc2": "masked", "fc3": "masked"}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the crossover of every layer of 19,200 weights in batches of 64; asked about others, it fails."""

    def measured(density: float) -> None:
        def crossover(geometry: LayerGeometry, *, batch_size: int) -> float:
            assert (geometry, batch_size) == (LayerGeometry((300, 64), needs_input_grad=False), 64)
            return density

        monkeypatch.setattr(dst_sweep, "crossover", crossover)

    return measured


def csr_layers(run: Run, execution: Execution) -> set[str]:
    model = dst_sweep.assemble(run, CPU, execution).method.model
    return {name for name, module in model.named_modules() if isinstance(module, CsrLayer)}


def refusal(execution: Execution, **tables: Any) -> str:
    with pytest.raises(UserError) as caught:
        dst_sweep.assemble(make(SPARSE, **tables), CPU, execution)
    return str(caught.value)


@pytest.mark.parametrize(("crossover", "expected"), [(0.3, {"fc1"}), (0.05, set()), (0.0, set())])
def test_auto_is_csr_where_that_was_measured_to_be_faster(
    measured: Callable[[float], None], crossover: float, expected: set[str]
) -> None:
    measured(crossover)
    assert csr_layers(make(SPARSE, network=WIDE), AUTO) == expected


@pytest.mark.parametrize(("backend", "expected"), [("masked", set()), ("csr", {"fc1", "fc2", "fc3"})])
def test_a_backend_that_is_asked_for_is_used_without_measuring(backend: Backend, expected: set[str]) -> None:
    run = make(SPARSE, method={**SPARSE["method"], "distribution": "uniform"})
    assert csr_layers(run, Execution(backend=backend)) == expected


def test_looking_at_a_run_measures_nothing(measured: Callable[[float], None]) -> None:
    measured(1.0)
    assert csr_layers(make(SPARSE, network=WIDE), INSPECT_ONLY) == set()


def test_the_row_says_what_every_layer_was(measured: Callable[[float], None], tmp_path: Path) -> None:
    measured(0.3)

    def row(execution: Execution, **tables: Any) -> dict[str, Any]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        brief = {**SPARSE["training"], "duration": "2 steps"}
        return execute(make(SPARSE, training=brief, **tables), folder, execution=execution).provenance_extra

    assert json.loads(row(AUTO, network=WIDE)["backends"]) == MASKED | {"fc1": "csr"}
    assert json.loads(row(INSPECT_ONLY, network=WIDE)["backends"]) == MASKED
    assert "backends" not in row(AUTO, network=WIDE, method={"kind": "dense"})


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.0), (0.0, 0.3)])
def test_a_run_goes_on_as_it_was_begun_whatever_would_be_measured_now(
    measured: Callable[[float], None], before: float, after: float, tmp_path: Path
) -> None:
    run = make(SPARSE, network=WIDE, method={**SPARSE["method"], "growth": "gradient"})
    measured(before)
    expected = execute(run, tmp_path / "whole", execution=AUTO)
    calls = iter([False, False, False, False, False, True])
    execute(run, tmp_path / "cut", stop=lambda: next(calls), execution=AUTO)
    measured(after)
    result = execute(run, tmp_path / "cut", execution=AUTO)
    assert lasting(result) == lasting(expected)
    assert result.provenance_extra["backends"] == expected.provenance_extra["backends"]
    assert result.provenance_extra["warnings"] == []


def test_runs_that_may_be_in_a_cohort_are_masked_alone_as_well(
    measured: Callable[[float], None], tmp_path: Path
) -> None:
    measured(1.0)
    run = make(SPARSE, network=WIDE, training={**SPARSE["training"], "duration": "2 steps"})
    result = execute(run, tmp_path, execution=Execution(cohort=2))
    assert json.loads(result.provenance_extra["backends"]) == MASKED


def test_csr_is_refused_with_the_reason_where_it_cannot_be() -> None:
    assert "float32" in refusal(CSR, training={**SPARSE["training"], "precision": "bf16"})
    assert "method.optimizer_state" in refusal(CSR, method={**SPARSE["method"], "optimizer_state": "dense"})


def test_auto_is_masked_where_csr_cannot_be(measured: Callable[[float], None]) -> None:
    measured(1.0)
    for tables in (
        {"training": {**SPARSE["training"], "precision": "bf16"}},
        {"method": {**SPARSE["method"], "optimizer_state": "dense"}},
    ):
        assert csr_layers(make(SPARSE, network=WIDE, **tables), AUTO) == set()


def test_a_run_begun_truly_sparse_is_not_continued_where_it_cannot_be() -> None:
    resumed_from = {"backends": json.dumps(MASKED | {"fc1": "csr"})}
    with pytest.raises(UserError, match="begun with truly sparse layers"):
        dst_sweep.assemble(make(SPARSE), torch.device("meta"), AUTO, resumed_from)


IMAGES = {
    "data": {"name": "digits", "train_examples": 80, "image_size": 16},
    "network": {"name": "lenet5"},
    "method": {**SPARSE["method"], "density": 0.05, "growth": "gradient"},
    "training": {"batch_size": 40, "duration": "9 steps"},
}


def test_a_convolution_is_csr_where_that_was_measured_to_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    conv2 = LayerGeometry((50, 20, 5, 5), (6, 6), (1, 1), (0, 0))  # 16x16, less 4, halved
    monkeypatch.setattr(dst_sweep, "crossover", lambda geometry, batch_size: 0.3 if geometry == conv2 else 0.0)
    assert csr_layers(make(SPARSE, **IMAGES), AUTO) == {"conv2"}


def test_a_truly_sparse_convolution_goes_on_after_an_interruption_as_if_there_were_none(tmp_path: Path) -> None:
    run = make(SPARSE, **IMAGES)
    expected = execute(run, tmp_path / "whole", execution=CSR)
    calls = iter([False, False, False, False, False, True])
    execute(run, tmp_path / "cut", stop=lambda: next(calls), execution=CSR)
    result = execute(run, tmp_path / "cut", execution=CSR)
    assert lasting(result) == lasting(expected)
    assert json.loads(result.provenance_extra["backends"])["conv2"] == "csr"


def test_a_truly_sparse_convolution_learns_what_a_masked_one_does(tmp_path: Path) -> None:
    results = [
        execute(make(SPARSE, **IMAGES), tmp_path / backend, execution=Execution(backend=backend))
        for backend in ("masked", "csr")
    ]
    masked, csr = (result.metrics for result in results)
    assert csr.keys() == masked.keys()
    assert csr == pytest.approx(masked, rel=1e-4)


@pytest.mark.parametrize("method", [{"kind": "static", "density": 0.2}, SPARSE["method"]], ids=["static", "dst"])
def test_dropout_drops_the_same_activations_in_masked_and_in_csr_layers(method: dict[str, Any], tmp_path: Path) -> None:
    run = make(SPARSE, network=SPARSE["network"] | {"dropout": 0.3}, method=method)
    masked, csr = (
        execute(run, tmp_path / backend, execution=Execution(backend=backend))  # type: ignore[arg-type]
        for backend in ("masked", "csr")
    )
    assert "csr" in csr.provenance_extra["backends"]
    losses = [[row[4] for row in each.history if row[3] == "loss"] for each in (masked, csr)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
