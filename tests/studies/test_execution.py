"""Both studies, whole runs: repeatable, resumable anywhere, honest about data and weights they cannot use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.data import load_data
from petlsparse.data.types import Dataset
from petlsparse.errors import UserError
from petlsparse.recipe import Run
from petlsparse.studies import Findings, assembly, check_runs, describe, probe, probe_seconds
from tests.studies.settings import ADAPTED, SPARSE, execute, lasting, make

METHODS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (SPARSE, {"kind": "dense"}),
    (SPARSE, {"kind": "static", "density": 0.2}),
    (SPARSE, SPARSE["method"]),
    (SPARSE, {**SPARSE["method"], "criterion": "snip", "growth": "gradient"}),
    (SPARSE, {**SPARSE["method"], "criterion": "random"}),
    (ADAPTED, {"kind": "linear-probe"}),
    (ADAPTED, ADAPTED["method"]),
    (ADAPTED, {"kind": "full-finetuning"}),
]
IDS = [f"{base['study']}-{'-'.join(map(str, list(method.values())[:3]))}" for base, method in METHODS]


@pytest.mark.parametrize(("base", "method"), METHODS, ids=IDS)
def test_a_run_interrupted_mid_epoch_ends_bit_identically(
    base: dict[str, Any], method: dict[str, Any], tmp_path: Path
) -> None:
    run = make(base, method=method)
    expected = execute(run, tmp_path / "whole", keep="last")
    calls = iter([False, False, False, False, False, True])  # stops after the sixth step, an update among them
    assert execute(run, tmp_path / "cut", stop=lambda: next(calls), keep="last").status == "interrupted"
    result = execute(run, tmp_path / "cut", keep="last")
    assert lasting(result) == lasting(expected)
    ours, theirs = (load_file(tmp_path / folder / "last.safetensors") for folder in ("cut", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_corrupted_checkpoint_is_set_aside_and_the_run_starts_again(tmp_path: Path) -> None:
    run = make(SPARSE)
    expected = execute(run, tmp_path / "whole")
    folder = tmp_path / "cut"
    calls = iter([False, False, True])
    execute(run, folder, stop=lambda: next(calls))
    checkpoint = folder / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    result = execute(run, folder)
    assert lasting(result) == lasting(expected)
    assert "it is damaged" in result.provenance_extra["warnings"][0]
    assert (folder / "checkpoint.safetensors.set-aside").exists()


@pytest.mark.parametrize("base", [SPARSE, ADAPTED])
def test_a_result_says_which_test_data_it_rests_on(base: dict[str, Any], tmp_path: Path) -> None:
    run = make(base)
    result = execute(run, tmp_path)
    assert result.provenance_extra["test_fingerprint"] == load_data(run.data.name).test_fingerprint


def test_seeds_differ_and_the_same_seed_repeats(tmp_path: Path) -> None:
    one, again, two = (execute(make(SPARSE, seed=seed), tmp_path / str(k)) for k, seed in enumerate((1, 1, 2)))
    assert lasting(one) == lasting(again)
    assert one.metrics["test_loss"] != two.metrics["test_loss"]


def test_methods_share_initial_weights_and_data_order_under_one_seed(tmp_path: Path) -> None:
    """With density 1 and a learning rate of almost nothing, the first training loss tells init and order."""
    slow = {"name": "sgd", "lr": 1e-12}
    dense = execute(make(SPARSE, optimizer=slow, method={"kind": "dense"}), tmp_path / "dense")
    static = execute(make(SPARSE, optimizer=slow, method={"kind": "static", "density": 1.0}), tmp_path / "static")
    assert [row for row in dense.history if row[3] == "loss"] == [row for row in static.history if row[3] == "loss"]


def test_topology_rows_cover_every_layer_at_the_start_and_at_every_update(tmp_path: Path) -> None:
    result = execute(make(SPARSE), tmp_path)  # 39 steps, an update every 5
    steps = sorted({row["step"] for row in result.rows["topology"]})
    assert steps == [0, 5, 10, 15, 20, 25, 30, 35]
    assert len(result.rows["topology"]) == 3 * len(steps)
    active = {step: sum(row["active"] for row in result.rows["topology"] if row["step"] == step) for step in steps}
    assert set(active.values()) == {round(0.2 * (64 * 40 + 40 * 20 + 20 * 10))}


def test_edges_table_tells_every_trained_adapter(tmp_path: Path) -> None:
    rows = execute(make(ADAPTED), tmp_path).rows["edges"]
    assert {(row["source"], row["target"], row["kind"]) for row in rows} == {
        (8, 2, "recurrent"), (3, 4, "parallel"), (5, 9, "long-range"),
    }  # fmt: skip
    assert all(row["value"] > 0 for row in rows if row["score_name"] == "update_norm")


def test_kept_weights_of_an_adapter_run_hold_adapters_and_head_only(tmp_path: Path) -> None:
    execute(make(ADAPTED), tmp_path, keep="both")
    for which in ("best", "last"):
        names = load_file(tmp_path / f"{which}.safetensors").keys()
        assert all(name.startswith(("adapters.", "head.")) for name in names)


def test_best_weights_of_a_run_without_validation_are_the_last_and_its_row_says_so(tmp_path: Path) -> None:
    run = make(SPARSE, data={**SPARSE["data"], "train_on": "train+val"}, training={"duration": "2 steps"})
    result = execute(run, tmp_path, keep="both")
    best, last = (load_file(tmp_path / f"{name}.safetensors") for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)
    assert result.provenance_extra["warnings"] == [
        "there is no validation to select by: best.safetensors holds the last weights"
    ]
    assert execute(run, tmp_path / "other", keep="last").provenance_extra["warnings"] == []


def test_parameters_of_a_sparse_network_are_its_active_weights_and_all_biases() -> None:
    """64, 40, 20 and 10 neurons, a fifth of each layer's weights."""
    weights, biases = 64 * 40 + 40 * 20 + 20 * 10, 40 + 20 + 10
    cost = describe(make(SPARSE, method={"kind": "static", "density": 0.2, "distribution": "uniform"})).cost
    assert cost["total_parameters"] == weights + biases
    assert cost["active_parameters"] == cost["trainable_parameters"] == weights // 5 + biases


def test_a_description_costs_what_the_run_reports(tmp_path: Path) -> None:
    for base in (SPARSE, ADAPTED):
        run = make(base)
        told = describe(run).cost
        assert {
            name: value for name, value in execute(run, tmp_path / base["study"]).cost.items() if name in told
        } == told


def test_flops_of_a_dense_mlp_are_three_times_its_forward_pass_but_for_the_images_gradient() -> None:
    told = describe(make(SPARSE, method={"kind": "dense"})).cost
    macs = 64 * 40 + 40 * 20 + 20 * 10
    assert told["inference_flops"] == 2 * macs
    assert told["training_flops"] == 2 * (3 * macs - 64 * 40) * 3 * 800


def test_a_probe_says_a_plausible_time_without_reading_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("the test split was read")

    monkeypatch.setattr("petlsparse.data.types.Dataset.test", refuse)
    assert 0 < probe_seconds(make(SPARSE), torch.device("cpu")) < 60


def test_a_probe_extrapolates_start_steps_and_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    # 7 s to start, a first step that does not count, 2 s for each of five more, 4 s for a validation pass.
    readings = iter([0.0, 7.0, 10.0, 20.0, 20.0, 24.0])
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
    lengths = {"duration": "30 steps", "evaluate_every": "20 steps"}
    run = make(SPARSE, training={**SPARSE["training"], **lengths})
    assert probe_seconds(run, torch.device("cpu")) == 7 + 30 * 2 + 2 * 4


def test_data_are_read_anew_once_they_were_forgotten() -> None:
    data = make(SPARSE).data
    before = assembly.shared_data(data)
    assert assembly.shared_data(data) is before
    assembly.clear_data_cache()
    assert assembly.shared_data(data) is not before


def test_adapters_refuse_an_image_size_that_is_not_the_backbones() -> None:
    with pytest.raises(UserError, match=r"backbone\.image_size"):
        describe(make(ADAPTED, data={"name": "digits", "image_size": 64}))


def test_a_network_that_cannot_take_the_images_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="3x32x32"):
        describe(make(SPARSE, network={"name": "vit-micro"}))


def required(runs: list[Run], device: str | None = None) -> None:
    by_id = {run.run_id: run for run in runs}
    check_runs(by_id, device).require(by_id)


def test_a_check_tells_the_problems_of_all_methods_at_once() -> None:
    far = {"kind": "adapters", "placement": {"name": "explicit", "edges": [[0, 99]]}}
    many = {"kind": "adapters", "placement": {"name": "first-k", "count": 13}}
    with pytest.raises(UserError) as caught:
        required([make(ADAPTED), make(ADAPTED, method=far), make(ADAPTED, method=many), make(SPARSE)])
    assert [problem.where for problem in caught.value.problems] == ["method.placement.edges", "method.placement.count"]


@pytest.mark.parametrize(
    ("base", "wrong", "where"),
    [
        (SPARSE, {**SPARSE["method"], "density": 1e-9}, "method.density"),
        (ADAPTED, {"kind": "adapters", "placement": {"name": "first-k", "count": 13}}, "method.placement.count"),
        (ADAPTED, {"kind": "lora", "targets": ["q_proj"]}, "method.targets"),
    ],
    ids=["dst", "adapters", "lora"],
)
def test_what_is_wrong_with_the_first_run_is_not_told_of_the_others(
    base: dict[str, Any], wrong: dict[str, Any], where: str
) -> None:
    findings = check_runs({"wrong": make(base, method=wrong), "right": make(base)})
    assert [problem.where for problem in findings.problems["wrong"]] == [where]
    assert not findings.problems["right"]
    assert findings.fingerprints["right"]["data_fingerprint"]


def test_runs_that_differ_in_their_seed_alone_are_examined_once() -> None:
    asked: list[str] = []

    def examine(runs: Mapping[str, Run], device: str | None) -> Findings:
        asked.extend(runs)
        return Findings({name: {"data_fingerprint": name} for name in runs}, {name: [] for name in runs})

    seeds = {f"a{run.seed}": run for run in make(SPARSE).with_seeds((1, 2, 3))}
    found = check_runs(seeds | {"b": make(ADAPTED)}, examine=examine)
    assert asked == ["a1", "b"]
    assert found.problems == {"a1": [], "a2": [], "a3": [], "b": []}
    assert {name: each["data_fingerprint"] for name, each in found.fingerprints.items()} == {
        "a1": "a1",
        "a2": "a1",
        "a3": "a1",
        "b": "b",
    }


def test_tf32_is_refused_on_the_cpu_before_and_at_the_start_of_a_run(tmp_path: Path) -> None:
    run = make(SPARSE, training={**SPARSE["training"], "precision": "tf32"})
    with pytest.raises(UserError, match=r"training\.precision: .*use float32"):
        required([make(SPARSE), run], "cpu")
    with pytest.raises(UserError, match=r"training\.precision"):
        execute(run, tmp_path)
    required([run], "cuda:0")
    required([run])


def test_a_check_loads_each_data_set_once_and_says_what_it_and_the_backbone_are_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[int] = []

    def counted(**settings: Any) -> Dataset:
        loaded.append(settings["train_examples"])
        return load_data(**settings)

    monkeypatch.setattr("petlsparse.studies.assembly.load_data", counted)
    networks = ({"name": "mlp", "widths": [4]}, {"name": "mlp", "widths": [8]})
    sizes = (330, 340, 350)
    runs = {
        f"{examples} {network['widths']}": make(
            SPARSE, data={"name": "digits", "train_examples": examples}, network=network
        )
        for network in networks
        for examples in sizes
    }
    runs |= {f"adapted {seed}": make(ADAPTED, seed=seed) for seed in (1, 2)}
    findings = check_runs(runs)
    assert loaded == [*sizes, 100]
    assert not any(findings.problems.values())
    assert findings.fingerprints["330 [4]"] == findings.fingerprints["330 [8]"]
    assert findings.fingerprints["330 [4]"]["data_fingerprint"] != findings.fingerprints["340 [4]"]["data_fingerprint"]
    assert {"data_fingerprint", "backbone_fingerprint"} <= findings.fingerprints["adapted 1"].keys()


def test_a_check_accepts_what_can_run() -> None:
    required([make(base, method=method) for base, method in METHODS])
