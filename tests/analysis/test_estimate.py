from collections.abc import Callable
from typing import Any

import pytest

from petlsparse.analysis.estimate import estimated_seconds

Make = Callable[..., dict[str, Any]]


def settings_of(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in run if name.split("_")[0] in ("study", "data", "network", "method", "training")}


def test_median_of_runs_with_the_same_method(record: Make) -> None:
    runs = [record(seed=s, wall_seconds=t, device="cpu") for s, t in enumerate([1.0, 2.0, 90.0])]
    runs.append(record(method_density=0.5, wall_seconds=500.0, device="cpu"))
    assert estimated_seconds(settings_of(runs[0]), "cpu", runs) == 2.0


def test_falls_back_to_the_same_kind_and_then_to_any_method(record: Make) -> None:
    dst = record(wall_seconds=4.0, device="cpu")
    dense = record(method_kind="dense", wall_seconds=8.0, device="cpu")
    wanted = settings_of(record(method_density=0.9))
    assert estimated_seconds(wanted, "cpu", [dst, dense]) == 4.0
    assert estimated_seconds(wanted, "cpu", [dense]) == 8.0


@pytest.mark.parametrize(
    "difference",
    [
        {"status": "failed"},
        {"device": "cuda:0"},
        {"data_name": "cifar10"},
        {"network_name": "lenet5"},
        {"training_duration": "6 epochs"},
        {"study": "adapter-search"},
    ],
)
def test_runs_that_differ_in_what_takes_time_say_nothing(record: Make, difference: dict[str, str]) -> None:
    run = record(**{"device": "cpu"} | difference)
    assert estimated_seconds(settings_of(record()), "cpu", [run]) is None


def test_any_gpu_of_a_machine_stands_for_the_others(record: Make) -> None:
    assert estimated_seconds(settings_of(record()), "cuda:1", [record(device="cuda:0", wall_seconds=3.0)]) == 3.0
