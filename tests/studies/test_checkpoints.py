"""A checkpoint is continued to the same result, or set aside with the true reason; never taken at its word."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from petlsparse.recipe.execution import Execution
from petlsparse.recipe.schema import Run
from petlsparse.training.checkpoint import BrokenCheckpoint, load_checkpoint, save_checkpoint
from petlsparse.training.result import RunResult
from tests.studies.settings import ADAPTED, SPARSE, execute, lasting, make

MASKED, CSR, AS_ONE = (Execution(backend="masked"), Execution(backend="csr"), Execution(cohort="auto"))
DST = {"kind": "dst", "density": 0.2, "criterion": "ema-magnitude", "growth": "gradient", "update_period": 2}
KINDS: dict[str, tuple[Run, Execution]] = {
    "dense": (make(SPARSE, method={"kind": "dense"}), MASKED),
    "static csr": (make(SPARSE, method={"kind": "static", "density": 0.2}), CSR),
    "dst masked": (make(SPARSE, method=DST), MASKED),
    "dst csr": (make(SPARSE, method=DST), CSR),
    "dst in a cohort": (make(SPARSE, method=DST), AS_ONE),
    "adapters": (make(ADAPTED), MASKED),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of each kind, stopped after its fifth step; made once, to be copied."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("stopped")
            run, execution = KINDS[kind]
            calls = iter([False] * 4 + [True])
            assert execute(run, made[kind], stop=lambda: next(calls), execution=execution).status == "interrupted"
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}

    def result(kind: str) -> dict[str, Any]:
        if kind not in made:
            run, execution = KINDS[kind]
            made[kind] = lasting(execute(run, tmp_path_factory.mktemp("whole"), execution=execution))
        return made[kind]

    return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(
    kind: str, stopped: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = (stopped(kind) / "checkpoint.safetensors").read_bytes()
    tensors, metadata = load_checkpoint(stopped(kind) / "checkpoint.safetensors")
    path, noticed = tmp_path / "checkpoint.safetensors", 0
    header = 8 + int.from_bytes(whole[:8], "little")
    positions = [*range(0, header, header // 40), *range(header, len(whole), len(whole) // 40), len(whole) - 1]
    for number, position in enumerate(positions):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << number % 8
        path.write_bytes(damaged)
        try:
            found, said = load_checkpoint(path)
        except BrokenCheckpoint:
            noticed += 1
            continue
        assert said == metadata
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert noticed > 0.9 * len(positions)  # some bits of a header mean nothing


Change = Callable[[dict[str, Tensor], dict[str, Any]], None]


def at(name: str, index: int, value: float) -> Change:
    """One number of the first tensor whose name ends so becomes another."""

    def change(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        key = next(key for key in tensors if key.startswith("model/") and key.endswith(name))
        tensors[key].view(-1)[index] = value

    return change


def one_more_active(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    mask = next(tensor for key, tensor in tensors.items() if key.startswith("method/mask.")).view(-1)
    mask[int((~mask).nonzero()[0])] = True


def of_another_type(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    key = next(key for key in tensors if key.startswith("model/") and key.endswith("bias"))
    tensors[key] = tensors[key].double()


def of_another_shape(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    key = next(key for key in tensors if key.startswith("optimizer/") and tensors[key].numel() > 2)
    tensors[key] = tensors[key].flatten()[:2]


def statistic_of_fewer(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    key = next(key for key in tensors if key.startswith("method/statistic.average."))
    tensors[key] = tensors[key][1:]


def statistic_missing(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    del tensors[next(key for key in tensors if key.startswith("method/statistic.average."))]


def without_best(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    key = next(key for key in tensors if key.startswith("model/"))
    tensors[key.replace("model/", "best/")] = tensors[key]


def entry(name: str, value: object) -> Change:
    return lambda _, metadata: metadata.update({name: value})


def beyond_the_end(_: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    metadata["train_state"]["step"] = 10**6


CHANGES: list[tuple[str, Change, str]] = [
    ("dst csr", at("columns", 0, 10**6), "no topology"),
    ("dst csr", at("columns", 0, -1), "no topology"),
    ("dst csr", at("rows", 1, 10**6), "no topology"),
    ("static csr", at("columns", 1, 0), "no topology"),
    ("dst masked", one_more_active, "active weights"),
    ("dst in a cohort", one_more_active, "active weights"),
    ("dst masked", statistic_of_fewer, "statistic.average.fc1 is not a number for each of"),
    ("dst csr", statistic_of_fewer, "statistic.average.fc1 is not a number for each of"),
    ("dst in a cohort", statistic_missing, "KeyError('statistic.average.fc1')"),
    ("dense", of_another_type, "torch.float64"),
    ("dst masked", of_another_shape, "optimizer state"),
    ("dense", without_best, "other tensors"),
    ("adapters", entry("run_id", "0123456789ab"), "of another run, 0123456789ab"),
    ("dst in a cohort", entry("run_id", "0123456789ab"), "of another run, 0123456789ab"),
    ("dense", entry("fingerprints", {}), "the training or validation data, the test data"),
    ("dense", entry("seen", None), "does not fit"),
    ("dense", beyond_the_end, "step 1000000"),
]


@pytest.mark.parametrize(("kind", "change", "reason"), CHANGES)
def test_what_does_not_fit_is_set_aside_with_its_reason_and_the_result_is_the_same(
    kind: str,
    change: Change,
    reason: str,
    stopped: Callable[[str], Path],
    undisturbed: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped(kind), folder)
    checkpoint = folder / "checkpoint.safetensors"
    tensors, metadata = load_checkpoint(checkpoint)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    change(tensors, metadata)
    save_checkpoint(checkpoint, tensors, metadata)  # with a checksum of its own
    run, execution = KINDS[kind]
    result: RunResult = execute(run, folder, execution=execution)
    assert lasting(result) == undisturbed(kind)
    (warning,) = result.provenance_extra["warnings"]
    assert reason in warning
    assert checkpoint.with_name("checkpoint.safetensors.set-aside").exists()


def test_one_of_an_older_version_of_the_code_is_set_aside_with_its_reason_and_the_result_is_the_same(
    stopped: Callable[[str], Path], undisturbed: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped("dense"), folder)
    checkpoint = folder / "checkpoint.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        tensors, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    checkpoint.write_bytes(save(tensors, metadata={**header, "format": "2"}))
    run, execution = KINDS["dense"]
    result: RunResult = execute(run, folder, execution=execution)
    assert lasting(result) == undisturbed("dense")
    (warning,) = result.provenance_extra["warnings"]
    assert "cannot be continued: another version of petlsparse wrote it, in format 2; this one reads" in warning
    assert checkpoint.with_name("checkpoint.safetensors.set-aside").exists()


def test_the_backends_of_another_runs_checkpoint_are_not_taken_on(
    stopped: Callable[[str], Path], undisturbed: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped("static csr"), folder)
    run, execution = KINDS["dst masked"]
    result = execute(run, folder, execution=execution)
    assert lasting(result) == undisturbed("dst masked")
    assert "csr" not in result.provenance_extra["backends"]


def test_a_second_checkpoint_set_aside_leaves_the_first(stopped: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped("dense"), folder)
    checkpoint = folder / "checkpoint.safetensors"
    (folder / "checkpoint.safetensors.set-aside").write_bytes(b"earlier")
    checkpoint.write_bytes(b"damaged")
    execute(KINDS["dense"][0], folder)
    assert (folder / "checkpoint.safetensors.set-aside").read_bytes() == b"earlier"
    assert (folder / "checkpoint.safetensors.set-aside-2").read_bytes() == b"damaged"
