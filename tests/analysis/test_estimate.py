from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petlsparse.analysis.estimate import Estimates, expected_seconds
from petlsparse.analysis.runs import Runs
from petlsparse.recipe import Run, load_recipe

Make = Callable[..., dict[str, Any]]


def settings_of(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in run if name.split("_")[0] in ("study", "data", "network", "method", "training")}


def test_median_of_runs_with_the_same_method(record: Make) -> None:
    runs = [record(seed=s, wall_seconds=t, device="cpu") for s, t in enumerate([1.0, 2.0, 90.0])]
    runs.append(record(method_density=0.5, wall_seconds=500.0, device="cpu"))
    assert Estimates(Runs.of(runs), "cpu").seconds(settings_of(runs[0])) == 2.0


def test_falls_back_to_the_same_kind_and_then_to_any_method(record: Make) -> None:
    dst = record(wall_seconds=4.0, device="cpu")
    dense = record(method_kind="dense", wall_seconds=8.0, device="cpu")
    wanted = settings_of(record(method_density=0.9))
    assert Estimates(Runs.of([dst, dense]), "cpu").seconds(wanted) == 4.0
    assert Estimates(Runs.of([dense]), "cpu").seconds(wanted) == 8.0


@pytest.fixture
def dense_and_sparse(tmp_path: Path) -> tuple[Run, ...]:
    """Two seeds of each of two methods."""
    (tmp_path / "small.toml").write_text(
        """
        study = "dst-sweep"
        seeds = 2
        run.data.name = "digits"
        run.network.name = "mlp"
        run.optimizer = { name = "sgd", lr = 0.1 }
        run.training.duration = "1 epoch"
        arms = [{ method = { kind = "dense" } }, { method = { kind = "static", density = 0.1 } }]
        """
    )
    return load_recipe(tmp_path / "small.toml").runs


def finished(run: Run, seconds: float) -> dict[str, Any]:
    return {**run.flat(), "status": "done", "device": "cpu", "wall_seconds": seconds}


def test_what_is_expected_of_every_run(dense_and_sparse: tuple[Run, ...]) -> None:
    dense, dense_again, sparse, sparse_again = dense_and_sparse
    recorded = Runs.of([finished(dense, 3.0), finished(sparse, 7.0)])
    expected = {dense_again.run_id: 3.0, sparse_again.run_id: 7.0}
    assert expected_seconds([dense_again, sparse_again], "cpu", recorded) == expected


def test_nothing_is_expected_unless_all_is_known(dense_and_sparse: tuple[Run, ...]) -> None:
    dense, *others = dense_and_sparse
    assert expected_seconds(others, "cuda:0", Runs.of([finished(dense, 3.0)])) == {}
    longer = dense.model_copy(update={"training": dense.training.model_copy(update={"batch_size": 8})})
    assert expected_seconds([*others, longer], "cpu", Runs.of([finished(dense, 3.0)])) == {}


def test_the_work_grows_with_the_runs_and_not_with_their_square(record: Make) -> None:
    class Counted(list[Any]):
        """A column that counts how often it is looked at."""

        looks = 0

        def __getitem__(self, place: Any) -> Any:
            Counted.looks += 1
            return super().__getitem__(place)

    def looks(n: int) -> int:
        rows = [record(method_density=at / 1000, device="cpu") for at in range(1, n)]
        runs = Runs.of(rows)
        Counted.looks = 0
        columns = {name: Counted(values) for name, values in runs.columns.items()}
        estimates = Estimates(Runs(columns, runs.indices), "cpu")
        assert all(estimates.seconds(settings_of(row)) == 10.0 for row in rows)
        return Counted.looks

    assert looks(200) < 2.5 * looks(100)


@pytest.mark.parametrize(
    "difference",
    [
        {"status": "failed"},
        {"device": "cuda:0"},
        {"data_name": "cifar10"},
        {"network_name": "lenet5"},
        {"network_widths": "[8]"},
        {"network_dropout": 0.5},
        {"data_train_examples": 100},
        {"data_image_size": 16},
        {"data_augment": "flip"},
        {"data_train_on": "train+val"},
        {"backbone_image_size": 64},
        {"training_duration": "6 epochs"},
        {"training_evaluate_every": "1 step"},
        {"training_precision": "bf16"},
        {"training_deterministic": False},
        {"study": "adapter-search"},
    ],
)
def test_runs_that_differ_in_what_takes_time_say_nothing(record: Make, difference: dict[str, str]) -> None:
    run = record(**{"device": "cpu"} | difference)
    assert Estimates(Runs.of([run]), "cpu").seconds(settings_of(record())) is None


def test_any_gpu_of_a_machine_stands_for_the_others(record: Make) -> None:
    runs = Runs.of([record(device="cuda:0", wall_seconds=3.0)])
    assert Estimates(runs, "cuda:1").seconds(settings_of(record())) == 3.0
