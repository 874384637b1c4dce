import os
from pathlib import Path
from typing import Any

import pytest

from petlsparse.errors import UserError
from petlsparse.launch import devices
from petlsparse.launch.devices import device_slots, resolve_device, usable_cores
from petlsparse.launch.local import LocalLauncher
from tests.launch.fake_studies import Trouble
from tests.launch.fakes import Executed, fake_runs


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def pinned(*arguments: object) -> list[str]:
    return [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in device_slots(*arguments)]


def test_on_the_cpu_every_worker_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_quota", lambda: None)
    assert [slot.device for slot in device_slots("cpu", 3)] == ["cpu"] * 3
    assert all(slot.environment["OMP_NUM_THREADS"] == "1" for slot in device_slots("cpu", 3))
    assert len(device_slots("cpu")) == usable_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (1.5, 2), (1.0, 1), (0.05, 1), (9.0, 8)])
def test_a_containers_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(devices, "cpu_quota", lambda: quota)
    assert usable_cores() == cores


def test_on_cuda_workers_are_dealt_out_device_by_device(two_gpus: pytest.MonkeyPatch) -> None:
    assert pinned("cuda") == ["0", "1"]
    assert pinned("cuda", None, 3) == ["0", "1", "0", "1", "0", "1"]
    assert pinned("cuda", 3, 2) == ["0", "1", "0"]
    assert pinned("cuda:1", None, 2) == ["1", "1"]
    assert {slot.device for slot in device_slots("cuda", None, 3)} == {"cuda:0"}


@pytest.mark.parametrize(
    ("arguments", "workers_per_device"),
    [(("cpu", 3), 3), (("cuda",), 1), (("cuda", None, 3), 3), (("cuda", 3, 2), 2), (("cuda:1", 1, 2), 1)],
)
def test_the_memory_of_a_device_is_shared_by_its_workers(
    two_gpus: pytest.MonkeyPatch, arguments: tuple[Any, ...], workers_per_device: int
) -> None:
    launcher = LocalLauncher(device_slots(*arguments))
    assert launcher.workers_per_device == workers_per_device
    launcher.close()


def test_only_devices_this_process_may_use_are_given_out(two_gpus: pytest.MonkeyPatch) -> None:
    two_gpus.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8f1e")
    assert pinned("cuda") == ["5", "GPU-8f1e"]
    assert pinned("cuda:1") == ["GPU-8f1e"]


def test_a_worker_sees_its_own_device_only(two_gpus: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = fake_runs([Trouble.SLOW] * 2)
    executed = Executed(runs, tmp_path / "store", device="cuda", workers=None)
    logs = sorted(executed.log(run).splitlines()[1] for run in runs)
    assert logs == [f"on cuda:0 of GPU {gpu} with 1 thread from step 0" for gpu in (0, 1)]


def test_auto_is_cuda_where_there_is_any(two_gpus: pytest.MonkeyPatch) -> None:
    two_gpus.setattr(devices, "GPU_NODES", ())
    assert resolve_device("auto") == "cpu"
    two_gpus.setattr(devices, "GPU_NODES", (devices.Path("/"),))
    assert resolve_device("auto") == "cuda"
    two_gpus.setattr("torch.cuda.device_count", lambda: 0)
    assert resolve_device("auto") == "cpu"


@pytest.mark.parametrize(
    ("arguments", "where", "value"),
    [
        (("gpu",), "device", "gpu"),
        (("cuda:x",), "device", "cuda:x"),
        (("cuda:2",), "device", "cuda:2"),
        (("cpu", -1), "workers", "-1"),
        (("cpu", 1, 0), "per_gpu", "0"),
    ],
)
def test_devices_and_numbers_that_make_no_sense_are_user_errors(
    two_gpus: pytest.MonkeyPatch, arguments: tuple[object, ...], where: str, value: str
) -> None:
    with pytest.raises(UserError) as caught:
        device_slots(*arguments)
    assert [(problem.where, problem.value) for problem in caught.value.problems] == [(where, value)]


def test_cuda_without_a_device_is_a_user_error(two_gpus: pytest.MonkeyPatch) -> None:
    two_gpus.setattr("torch.cuda.device_count", lambda: 0)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match="no CUDA device"):
            device_slots(device)
