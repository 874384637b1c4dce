"""An interrupted run continues to the bit-identical result, from any step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from petlsparse.tracking.progress import Progress
from petlsparse.training.checkpoint import BrokenCheckpoint, load_checkpoint, runtime_choices_of, save_checkpoint
from petlsparse.training.evaluation import evaluate
from petlsparse.training.loop_settings import examples_seen
from petlsparse.training.member import Member
from petlsparse.training.result import RunResult
from petlsparse.training.timer import Timer
from tests.training.toys import Pruned, ToyMethod, toy_dataset, toy_training, train

TIMES = {"wall_seconds", "train_seconds", "examples_per_second"}


def run_with_interruptions(
    checkpoint: Path, stops: list[int], **settings: object
) -> tuple[RunResult, list[torch.Tensor]]:
    """Stop after each given step, start afresh from the checkpoint alone, and go on to the end."""
    for stop in [*stops, 10**9]:
        training = toy_training(checkpoint=checkpoint, **settings)  # type: ignore[arg-type]
        result = train(training, should_stop=lambda training=training, stop=stop: training.state.step >= stop)
        if result.status != "interrupted":
            return result, list(training.model.parameters())
        assert training.state.step == stop
    raise AssertionError("never finished")


@pytest.mark.parametrize("stops", [[1], [3], [4], [5], [11], [2, 4, 7, 8]], ids=str)
@pytest.mark.parametrize(("dropout", "method"), [(0.0, ToyMethod), (0.3, ToyMethod), (0.0, Pruned)])
def test_a_run_stopped_anywhere_ends_bit_identically(
    tmp_path: Path, stops: list[int], dropout: float, method: type[ToyMethod]
) -> None:
    settings = {"steps": 12, "batch": 16, "evaluate_every": 4, "dropout": dropout, "method": method}
    undisturbed = toy_training(**settings)  # type: ignore[arg-type]
    expected = train(undisturbed)
    result, weights = run_with_interruptions(tmp_path / "checkpoint.safetensors", stops, **settings)
    assert result.metrics == expected.metrics
    assert result.history == expected.history
    assert result.rows == expected.rows
    for ours, theirs in zip(weights, undisturbed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Noise(nn.Module):
    """Draws in training, without being a dropout by its class."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x) if self.training else x


@pytest.mark.parametrize("layer", [Noise, lambda: nn.AlphaDropout(0.3)], ids=["noise", "alpha dropout"])
def test_whatever_draws_in_training_draws_the_same_after_any_interruption(
    tmp_path: Path, layer: Callable[[], nn.Module]
) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), layer(), nn.Linear(12, 3))

    expected = train(toy_training(steps=6, network=network()))
    checkpoint = tmp_path / "checkpoint.safetensors"
    for stop in (2, 5, 10**9):
        torch.manual_seed(stop)  # what happened before in the process does not matter
        training = toy_training(steps=6, network=network(), checkpoint=checkpoint)
        result = train(training, should_stop=lambda training=training, stop=stop: training.state.step >= stop)
    assert result.history == expected.history


def test_a_killed_run_repeats_only_what_came_after_its_last_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"

    class Killed(Exception):
        pass

    def kill_at_nine(progress: Progress) -> None:
        if progress.step == 9:
            raise Killed

    with pytest.raises(Killed):
        train(toy_training(checkpoint=checkpoint, checkpoint_every=4, report=kill_at_nine))
    resumed = toy_training(checkpoint=checkpoint, checkpoint_every=4)
    result = train(resumed)
    assert isinstance(resumed.method, ToyMethod)
    assert resumed.method.calls[0] == ("backward", 9)
    assert result.metrics == train(toy_training()).metrics
    assert [row["step"] for row in result.rows["topology"]] == list(range(1, 13))


def test_the_methods_own_state_travels_through_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(toy_training(checkpoint=checkpoint), should_stop=lambda: True)
    training = toy_training(checkpoint=checkpoint)
    training.resume()
    assert isinstance(training.method, ToyMethod)
    assert training.method.loaded["calls"].item() == 2


def test_seconds_add_up_over_interruptions(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    first = toy_training(checkpoint=checkpoint)
    train(first, should_stop=lambda: True)
    second = toy_training(checkpoint=checkpoint)
    second.resume()
    assert 0 < second.state.seconds <= first.state.seconds
    assert 0 < second.state.train_seconds == first.state.train_seconds


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other format"])
def test_a_damaged_checkpoint_is_recognised(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"a": torch.arange(1000.0)}, {"x": 1})
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "garbage": b"\x00\xff" * 500,
            "empty": b"",
            "other format": whole.replace(b'"format":"3"', b'"format":"9"'),
        }[damage]
    )
    with pytest.raises(BrokenCheckpoint, match=r"it is damaged|in format 9"):
        load_checkpoint(path)


def test_a_checkpoint_of_an_older_version_of_the_code_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    content = {"facts": torch.zeros(3, dtype=torch.uint8), "model/0.weight": torch.zeros(2)}
    path.write_bytes(save(content, metadata={"format": "2", "checksum": "0" * 32}))
    sentence = "another version of petlsparse wrote it, in format 2; this one reads format 3"
    with pytest.raises(BrokenCheckpoint, match=f"^{sentence}$"):
        train(toy_training(checkpoint=path))
    assert runtime_choices_of(path, "") is None


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    metadata = {
        "run_id": "",
        "train_state": {},
        "seen": 0,
        "fingerprints": {"data_fingerprint": toy_dataset().fingerprint},
    }
    save_checkpoint(path, {"model/0.weight": torch.zeros(2)}, metadata)
    with pytest.raises(BrokenCheckpoint, match="other tensors"):
        train(toy_training(checkpoint=path))


def test_a_checkpoint_survives_shared_and_strided_tensors(tmp_path: Path) -> None:
    base = torch.arange(6.0).view(2, 3)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": base, "b": base.T, "c": base[0]}, {"n": [1, 2]})
    tensors, metadata = load_checkpoint(path)
    assert torch.equal(tensors["b"], base.T)
    assert torch.equal(tensors["c"], base[0])
    assert metadata == {"n": [1, 2]}


def test_a_checkpoint_made_with_other_data_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    train(toy_training(checkpoint=path), should_stop=lambda: True)
    with pytest.raises(BrokenCheckpoint, match="others than there are now: the training or validation data"):
        train(toy_training(checkpoint=path, fingerprints={"data_fingerprint": "f" * 12}))


def test_a_checkpoint_with_metadata_from_another_version_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    train(toy_training(checkpoint=path), should_stop=lambda: True)
    tensors, metadata = load_checkpoint(path)
    save_checkpoint(path, tensors, {**metadata, "train_state": {**metadata["train_state"], "of_the_future": 1}})
    with pytest.raises(BrokenCheckpoint, match="of_the_future"):
        train(toy_training(checkpoint=path))


class Clock:
    """Stands still but for what the test says takes time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, seconds: float) -> Callable[..., None]:
        def work(*_: object) -> None:
            self.now += seconds

        return work


def test_wall_seconds_begin_before_the_model_is_there_and_hold_everything_training_seconds_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    timer = Timer(clock)
    clock.takes(100)()  # data and model
    training = toy_training(steps=4, evaluate_every=2, checkpoint=tmp_path / "c", checkpoint_every=1)
    monkeypatch.setattr("petlsparse.training.checkpoint.save_checkpoint", clock.takes(7))
    training.method.after_step = clock.takes(1)  # type: ignore[method-assign]
    monkeypatch.setattr("petlsparse.training.loop.evaluate", lambda *args: (clock.takes(20)(), evaluate(*args))[1])
    cost = train(training, timer=timer).cost
    assert cost["train_seconds"] == 4 * 1
    # three checkpoints, two validations, one or two passes over the test split
    tests = 2 if training.state.best_step != 4 else 1
    assert cost["wall_seconds"] == 100 + 4 + 3 * 7 + 2 * 20 + tests * 20
    assert cost["examples_per_second"] == examples_seen(4, training.examples, 16) / 4


def test_no_checkpoint_is_written_within_so_many_seconds_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = Clock(), []
    training = toy_training(steps=12, checkpoint=tmp_path / "c", checkpoint_every=2)
    training.settings = replace(training.settings, checkpoint_seconds=10)
    training.method.after_step = clock.takes(3)  # type: ignore[method-assign]
    monkeypatch.setattr(training, "save", lambda: (saved.append(training.state.step), Member.save(training))[1])
    train(training, timer=Timer(clock))
    assert saved == [4, 8]  # at 6 s too early, 12 s; 18 s too early, 24 s; 30 s too early; 36 s is the end


def test_when_asked_to_stop_a_checkpoint_is_written_however_recent_the_last(tmp_path: Path) -> None:
    training = toy_training(checkpoint=tmp_path / "c")
    training.settings = replace(training.settings, checkpoint_seconds=1e9)
    assert train(training, should_stop=lambda: True, timer=Timer(Clock())).status == "interrupted"
    assert (tmp_path / "c").exists()
