"""Runs trained as one: the same result to the last bit in any cohort, after any interruption, in any parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.cohorts import keys, size
from petlsparse.cohorts.keys import cohort_key
from petlsparse.cohorts.size import even_parts
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run
from petlsparse.studies import adapter_search, dst_sweep, execution, members
from petlsparse.studies.execution import cohort_size
from petlsparse.training.checkpoint import runtime_choices_of
from petlsparse.training.result import RunResult
from tests.studies.settings import ADAPTED, SPARSE, execute, lasting, make

AUTO = Execution(cohort="auto")
CPU = torch.device("cpu")
GROUPS = {"weight_decay": 0.1, "decay_norms_and_biases": False}
ARMS: list[dict[str, Any]] = [
    {"method": {"kind": "dense"}},
    {"method": {"kind": "dense"}, "seed": 2},
    {"method": {"kind": "static", "density": 0.1}},
    {"method": {**SPARSE["method"], "criterion": "snip", "growth": "gradient"}},
    {"method": {**SPARSE["method"], "criterion": "random", "density": 0.4}, "seed": 3},
    {
        "method": {**SPARSE["method"], "criterion": "ema-magnitude"},
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.5, "nesterov": False, **GROUPS},
    },
    {"schedule": {"name": "cosine", "warmup": "1 epoch"}},
]
RUNS = [make(SPARSE, **arm) for arm in ARMS]


def execute_all(
    runs: Sequence[Run],
    folder: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    every: str = "1 epoch",
    keep: str = "none",
    execution: Execution = AUTO,
    on_start: Callable[[Sequence[int]], None] = lambda _: None,
) -> list[RunResult | None]:
    study = (adapter_search if runs[0].study == "adapter-search" else dst_sweep).STUDY
    results: dict[int, RunResult] = {}
    folders = [folder / run.run_id for run in runs]
    for each in folders:
        each.mkdir(parents=True, exist_ok=True)
    study.execute(
        runs,
        folders,
        device="cpu",
        threads=torch.get_num_threads(),
        execution=execution,
        output=Output(save_weights=keep, checkpoint_every=every, checkpoint_seconds=0.0),
        on_start=on_start,
        progress=lambda index, progress: None,
        done=results.__setitem__,
        should_stop=stop,
    )
    return [results.get(index) for index in range(len(runs))]


def lasting_of(results: Sequence[RunResult | None]) -> list[Any]:
    return [result and lasting(result) for result in results]


@pytest.fixture(scope="module")
def by_themselves(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("alone")
    return [lasting(execute(run, folder / run.run_id, execution=AUTO)) for run in RUNS]


def test_a_run_has_the_same_result_alone_and_in_a_cohort(by_themselves: list[Any], tmp_path: Path) -> None:
    assert lasting_of(execute_all(RUNS, tmp_path / "all")) == by_themselves
    assert lasting_of(execute_all(RUNS[::-2], tmp_path / "some")) == by_themselves[::-2]


def test_it_is_the_result_of_ordinary_training_up_to_rounding(by_themselves: list[Any], tmp_path: Path) -> None:
    for run, expected in zip(RUNS, by_themselves, strict=True):
        found = lasting(execute(run, tmp_path / run.run_id, execution=INSPECT_ONLY))
        assert found["cost"] == expected["cost"]
        assert found["rows"] == expected["rows"]
        for (*where, value), (*its_place, its_value) in zip(found["history"], expected["history"], strict=True):
            assert where == its_place
            # Of 800 training images one may be classified otherwise: two classes of ten change their F1.
            assert value == pytest.approx(
                its_value, rel=1e-3, abs={"accuracy": 0.13, "macro_f1": 0.3}.get(where[3], 1e-4)
            )


@pytest.mark.parametrize("steps", [1, 4, 5, 20])  # the fifth has an update
def test_interrupted_in_a_cohort_they_go_on_alone_bit_identically(
    steps: int, by_themselves: list[Any], tmp_path: Path
) -> None:
    calls = iter([False] * steps + [True])  # asked once before the first step
    stopped = execute_all(RUNS, tmp_path, stop=lambda: next(calls))
    assert [result and result.status for result in stopped] == ["interrupted"] * len(RUNS)
    choices = [runtime_choices_of(tmp_path / run.run_id / "checkpoint.safetensors", run.run_id) for run in RUNS]
    assert {chosen and chosen["cohort"] for chosen in choices} == {"7"}
    # Even under an execution that trains nothing as one: a run goes on as it began.
    results = [execute(run, tmp_path / run.run_id, execution=INSPECT_ONLY) for run in RUNS]
    assert lasting_of(results) == by_themselves
    assert {result.provenance_extra["cohort"] for result in results} == {1}


def test_begun_in_a_cohort_a_run_goes_on_masked_whatever_backend_is_asked_for(
    by_themselves: list[Any], tmp_path: Path
) -> None:
    calls = iter([False, False, True])
    execute(RUNS[2], tmp_path, stop=lambda: next(calls), execution=AUTO)
    assert lasting(execute(RUNS[2], tmp_path, execution=Execution(backend="csr"))) == by_themselves[2]


def test_who_diverges_in_a_cohort_has_the_rows_it_has_alone_and_no_more(tmp_path: Path) -> None:
    often = {**SPARSE["training"], "evaluate_every": "3 steps"}
    wild = {"training": often, "optimizer": {"name": "sgd", "lr": 1e30}}
    static = {"kind": "static", "density": 0.1}
    runs = [make(SPARSE, training=often), make(SPARSE, **wild), make(SPARSE, **wild, method=static)]
    results = execute_all(runs, tmp_path / "together")
    assert [result and result.status for result in results] == ["done", "diverged", "diverged"]
    for run, result in zip(runs[1:], results[1:], strict=True):
        alone = execute(run, tmp_path / run.run_id, execution=INSPECT_ONLY)
        assert result is not None
        assert result.rows == alone.rows


def test_begun_by_itself_a_run_goes_on_so(tmp_path: Path) -> None:
    expected = execute(RUNS[3], tmp_path / "whole", execution=INSPECT_ONLY)
    calls = iter([False, False, True])
    execute(RUNS[3], tmp_path / "cut", stop=lambda: next(calls), execution=INSPECT_ONLY)
    result = execute(RUNS[3], tmp_path / "cut", execution=AUTO)
    assert lasting(result) == lasting(expected)
    assert "cohort" not in result.provenance_extra


def test_a_damaged_checkpoint_is_set_aside_and_the_run_starts_again(by_themselves: list[Any], tmp_path: Path) -> None:
    calls = iter([False, False, False, True])
    execute(RUNS[0], tmp_path, stop=lambda: next(calls), execution=AUTO)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    result = execute(RUNS[0], tmp_path, execution=AUTO)
    assert lasting(result) == by_themselves[0]
    assert (tmp_path / "checkpoint.safetensors.set-aside").exists()


def test_other_data_under_a_checkpoint_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([False, False, False, True])
    execute(RUNS[0], tmp_path, stop=lambda: next(calls), execution=AUTO)
    loaded = members.build_member

    def otherwise(run: Run, assembly: Any, *args: Any, **kwargs: Any) -> Any:
        return loaded(run, replace(assembly, provenance={"backbone_fingerprint": "other"}), *args, **kwargs)

    monkeypatch.setattr(members, "build_member", otherwise)
    result = execute(RUNS[0], tmp_path, execution=AUTO)
    assert result.status == "done"
    assert "started again" in result.provenance_extra["warnings"][0]


def test_rows_say_how_many_trained_as_one_and_weights_are_kept(tmp_path: Path) -> None:
    results = execute_all(RUNS[:3], tmp_path, keep="both")
    assert [result.provenance_extra["cohort"] for result in results if result] == [3, 3, 3]
    alone = execute(RUNS[2], tmp_path / "alone", keep="both", execution=AUTO)
    for which in ("best", "last"):
        ours = load_file(tmp_path / RUNS[2].run_id / f"{which}.safetensors")
        theirs = load_file(tmp_path / "alone" / f"{which}.safetensors")
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert alone.provenance_extra["cohort"] == 1


def test_what_does_not_fit_into_memory_is_trained_in_parts(
    by_themselves: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "fitting", lambda *_, **__: 3)
    parts: list[list[int]] = []
    results = execute_all(RUNS, tmp_path, on_start=lambda indices: parts.append(list(indices)))
    assert lasting_of(results) == by_themselves
    assert [result.provenance_extra["cohort"] for result in results if result] == [2, 2, 2, 2, 3, 3, 3]
    assert parts == [[0, 1], [2, 3], [4, 5, 6]]


def test_parts_that_were_not_begun_have_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "fitting", lambda *_, **__: 4)
    calls = iter([False, False, True, True])
    results = execute_all(RUNS, tmp_path, stop=lambda: next(calls))
    assert [result and result.status for result in results] == ["interrupted"] * 3 + [None] * 4


@pytest.mark.parametrize(
    ("free", "takes", "expected"),
    [
        (2_000_000_000, (50_000_000, 60_000_000), 7),
        (100_000_000, (40_000_000, 60_000_000), 3),  # 80 MB: the first takes 40, each further one 20
        (100_000_000, (70_000_000, 90_000_000), 1),
        (10_000_000, (70_000_000, 90_000_000), 1),  # at least one, whatever happens
    ],
)
def test_size_comes_from_what_cohorts_of_one_and_two_take(
    free: int, takes: tuple[int, int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size, "free_memory_bytes", lambda device: free)
    monkeypatch.setattr(size, "used_memory_bytes", lambda device: 5_000_000)
    monkeypatch.setattr(execution, "peak_bytes", lambda members, **_: 5_000_000 + takes[len(members) - 1])
    assert cohort_size(dst_sweep.STUDY, RUNS, CPU, AUTO) == expected
    monkeypatch.setattr(size, "free_memory_bytes", lambda device: 3 * free)
    assert cohort_size(dst_sweep.STUDY, RUNS, CPU, replace(AUTO, workers_per_device=3)) == expected


def test_size_is_measured_by_real_steps_and_never_below_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = 5 * 4 * (64 * 40 + 40 + 40 * 20 + 20 + 20 * 10 + 10)
    monkeypatch.setattr(size, "free_memory_bytes", lambda device: 10**12)
    assert cohort_size(dst_sweep.STUDY, RUNS, CPU, AUTO) == len(RUNS)
    monkeypatch.setattr(size, "peak_memory_bytes", lambda device: 0)
    monkeypatch.setattr(size, "free_memory_bytes", lambda device: 3.5 * held / size.SHARE_OF_MEMORY)
    assert cohort_size(dst_sweep.STUDY, RUNS, CPU, AUTO) == 4


def test_what_placements_take_is_measured_with_the_values_that_all_of_them_need(tmp_path: Path) -> None:
    asked = Execution(cohort=3, cache_memory=2**30, cache_folder=tmp_path / "cache")
    seen: list[set[int]] = []

    def assemble(*args: Any) -> list[Any]:
        assemblies = adapter_search.assemble_all(*args)
        seen.extend(set(assembly.loaders[0].values) for assembly in assemblies if assembly.loaders)
        return assemblies

    observed = replace(adapter_search.STUDY, assemble=assemble)
    assert cohort_size(observed, PLACED, CPU, asked) == 3
    assert seen[:6] == [{0, 1, 2, 8, 11, 12}] * 6  # of cohorts of one and of two, and those that are only thought of


def test_parts_are_even_and_few() -> None:
    assert [len(part) for part in even_parts(range(10), 4)] == [3, 3, 4]
    assert [len(part) for part in even_parts(range(10), 5)] == [5, 5]
    assert [*even_parts(range(3), 7)] == [range(3)]


# -- who is trained as one -------------------------------------------------------------------------------------------

BIG = {"name": "mlp", "widths": [1024, 512]}


@pytest.mark.parametrize(
    ("tables", "device", "execution", "expected"),
    [
        ({}, "cpu", AUTO, True),
        ({}, "cpu", Execution(cohort=4), True),
        ({}, "cpu", INSPECT_ONLY, False),
        ({}, "cpu", Execution(cohort="auto", backend="csr"), False),
        ({"network": BIG}, "cpu", AUTO, False),
        ({"network": BIG}, "cpu", Execution(cohort=4), True),
        ({"network": BIG}, "cuda:0", AUTO, True),
        ({"network": {"name": "lenet5"}}, "cpu", AUTO, False),
        ({"network": {"name": "lenet5"}}, "cpu", Execution(cohort=4), False),
        ({"network": {"name": "lenet5"}}, "cuda:0", AUTO, True),
        ({"network": {"name": "mlp", "widths": [40], "dropout": 0.1}}, "cuda:0", AUTO, False),
    ],
)
def test_on_a_cpu_small_networks_are_trained_as_one_on_cuda_all(
    tables: dict[str, Any], device: str, execution: Execution, expected: bool
) -> None:
    assert (cohort_key(make(SPARSE, **tables), device, execution) is not None) is expected


@pytest.mark.parametrize("widths", [None, [40], [40, 21]])
def test_the_size_of_a_network_is_its_parameters_times_the_batch(
    widths: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(SPARSE, network={"name": "mlp"} | ({} if widths is None else {"widths": widths}))
    model = dst_sweep.assemble(run, CPU, INSPECT_ONLY).method.model
    size = sum(parameter.numel() for parameter in model.parameters()) * run.training.batch_size
    for limit, small in ((size, True), (size - 1, False)):
        monkeypatch.setattr(keys, "SMALL_NETWORK", limit)
        assert (cohort_key(run, "cpu", AUTO) is not None) is small


def test_seed_method_and_learning_rate_may_differ_and_nothing_else() -> None:
    found = {cohort_key(run, "cpu", AUTO) for run in RUNS}
    assert len(found) == 1
    others: list[dict[str, Any]] = [
        {"optimizer": {"name": "adam", "lr": 0.05}},
        {"training": {**SPARSE["training"], "batch_size": 32}},
        {"training": {**SPARSE["training"], "label_smoothing": 0.1}},
        {"data": {"name": "digits", "train_examples": 100}},
        {"network": {"name": "mlp", "widths": [40, 21]}},
        {"method": {**SPARSE["method"], "optimizer_state": "dense"}},
    ]
    assert len({*found, *(cohort_key(make(SPARSE, **other), "cpu", AUTO) for other in others)}) == 1 + len(others)


# -- placements of adapters ------------------------------------------------------------------------------------------

GROUPED = {"name": "adamw", "lr": 1e-3, "head_lr": 1e-2, **GROUPS}
PLACED = [
    make(ADAPTED),
    make(ADAPTED, method={"kind": "adapters", "placement": {"name": "explicit", "edges": [[12, 11], [11, 12]]}}),
    make(ADAPTED, method={"kind": "adapters", "placement": "all-parallel"}, optimizer=GROUPED),
]


@pytest.mark.parametrize("kind", ["images", "frozen values"])
def test_placements_share_their_backbone_and_end_where_they_end_alone(kind: str, tmp_path: Path) -> None:
    asked = Execution(cohort=3)
    if kind == "frozen values":
        asked = replace(asked, cache_memory=2**30, cache_folder=tmp_path / "cache")
    results = execute_all(PLACED, tmp_path, execution=asked)
    for run, result in zip(PLACED, results, strict=True):
        assert result is not None
        alone = execute(run, tmp_path / "alone" / run.run_id, execution=replace(asked, cohort="off"))
        assert result.provenance_extra["cohort"] == 3
        assert result.provenance_extra["frozen_values"] == alone.provenance_extra["frozen_values"]
        assert result.provenance_extra["backbone_fingerprint"] == alone.provenance_extra["backbone_fingerprint"]
        found, expected = lasting(result), lasting(alone)
        assert found["cost"] == expected["cost"]
        for (*where, value), (*its_place, its_value) in zip(found["history"], expected["history"], strict=True):
            assert where == its_place
            assert value == pytest.approx(
                its_value, rel=1e-4, abs={"accuracy": 0.2, "macro_f1": 0.4}.get(where[3], 1e-5)
            )
        for row, its_row in zip(found["rows"]["edges"], expected["rows"]["edges"], strict=True):
            assert row == its_row | {"value": pytest.approx(its_row["value"], rel=1e-3)}


def test_placements_stopped_in_a_cohort_are_finished_alone(tmp_path: Path) -> None:
    asked = Execution(cohort=3, cache_memory=2**30, cache_folder=tmp_path / "cache")
    whole = execute_all(PLACED, tmp_path / "whole", execution=asked)
    calls = iter([False] * 3 + [True])
    execute_all(PLACED, tmp_path / "cut", execution=asked, stop=lambda: next(calls))
    for run, expected in zip(PLACED, whole, strict=True):
        assert expected is not None
        result = execute(run, tmp_path / "cut" / run.run_id, execution=asked)
        assert result.provenance_extra["cohort"] == 1
        assert result.metrics["test_loss"] == pytest.approx(expected.metrics["test_loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("tables", "device", "cohort", "expected"),
    [
        ({}, "cuda:0", "auto", True),
        ({}, "cpu", "auto", False),
        ({}, "cpu", 4, True),
        ({}, "cuda:0", "off", False),
        ({"method": {"kind": "linear-probe"}}, "cuda:0", "auto", True),
        ({"method": {"kind": "full-finetuning"}}, "cuda:0", "auto", False),
    ],
)
def test_placements_are_trained_as_one_on_cuda_and_on_a_cpu_where_asked_for(
    tables: dict[str, Any], device: str, cohort: Any, expected: bool
) -> None:
    assert (cohort_key(make(ADAPTED, **tables), device, Execution(cohort=cohort)) is not None) is expected


def test_random_weights_are_shared_by_runs_of_one_seed_only() -> None:
    keys = [cohort_key(make(ADAPTED, seed=seed), "cuda:0", AUTO) for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]
    trained = {"name": "vit-micro"}
    keys = [cohort_key(make(ADAPTED, backbone=trained, seed=seed), "cuda:0", AUTO) for seed in (1, 2)]
    assert keys[0] == keys[1]
