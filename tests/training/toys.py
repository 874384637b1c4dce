"""Small data, a small network and a method without hooks, for testing the loop alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from petlsparse.data.types import Dataset, Split
from petlsparse.training.loaders import Images
from petlsparse.training.loop import Loop
from petlsparse.training.loop_settings import LoopSettings
from petlsparse.training.member import Member
from petlsparse.training.optimizers import sgd
from petlsparse.training.result import RunResult
from petlsparse.training.schedules import Schedule, with_warmup
from petlsparse.training.strategy import SingleStrategy

MEAN, STD = (0.5,), (0.25,)


def toy_split(count: int, seed: int) -> Split:
    """Random 4x4 grey images; the label says which of three rows is brightest, so there is something to learn."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    labels = images.float().mean(dim=(1, 3))[:, :3].argmax(1)
    return Split(images, labels)


@dataclass
class CountingTest:
    """A test split that counts how often it is read."""

    split: Split = field(default_factory=lambda: toy_split(30, seed=3))
    reads: int = 0

    def __call__(self) -> Split:
        self.reads += 1
        return self.split


def toy_dataset(train: int = 50, val: int = 20, read_test: Callable[[], Split] | None = None) -> Dataset:
    return Dataset(
        name="toy",
        classes=3,
        train=toy_split(train, seed=1),
        val=toy_split(val, seed=2),
        mean=MEAN,
        std=STD,
        fingerprint="0" * 12,
        test_fingerprint="1" * 12,
        test_examples=30,
        read_test=read_test or CountingTest(),
    )


def toy_network(dropout: float = 0.0, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, 3))


class ToyMethod:
    """A method that only writes down when its hooks were called."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.calls: list[tuple[str, int]] = []
        self.bound: Optimizer | None = None
        self.new_rows: list[dict[str, object]] = []

    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def bind(self, optimizer: Optimizer) -> None:
        self.bound = optimizer

    def updates_topology(self, step: int) -> bool:
        return False

    def after_backward(self, step: int) -> None:
        self.calls.append(("backward", step))

    def after_step(self, step: int) -> None:
        self.calls.append(("step", step))
        self.new_rows.append({"step": step})

    def after_epoch(self, epoch: int) -> None:
        self.calls.append(("epoch", epoch))

    def state(self) -> dict[str, Tensor]:
        return {"calls": torch.tensor(len(self.calls))}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.loaded = state

    def rows(self) -> dict[str, list[dict[str, object]]]:
        drained, self.new_rows = self.new_rows, []
        return {"topology": drained}


class Pruned(ToyMethod):
    """At every fourth step, all but a few weights are lost."""

    def updates_topology(self, step: int) -> bool:
        return step % 4 == 0

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if self.updates_topology(step):
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.view(-1)[3:] = 0


def toy_training(
    *,
    steps: int = 12,
    batch: int = 16,
    evaluate_every: int = 4,
    checkpoint_every: int = 100,
    lr: float = 0.05,
    dataset: Dataset | None = None,
    dropout: float = 0.0,
    network: nn.Module | None = None,
    optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None,
    schedule: Schedule | None = None,
    seed: int = 7,
    checkpoint: Path | None = None,
    **extra: Any,
) -> Member:
    device = extra.pop("device", torch.device("cpu"))
    method = extra.pop("method", ToyMethod)((network or toy_network(dropout)).to(device))
    precision = extra.pop("precision", "float32")
    dataset = dataset or toy_dataset()
    return Member(
        method,
        train=Images(dataset.train.to(device), MEAN, STD, extra.pop("augment", None)),
        val=Images(dataset.val.to(device), MEAN, STD),
        read_test=lambda: Images(dataset.test().to(device), MEAN, STD),
        optimizer=optimizer(method.parameters())
        if optimizer
        else sgd(method.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3),
        schedule=schedule or with_warmup(lambda share: 1 - share, total_steps=steps, warmup_steps=2),
        settings=LoopSettings(batch, steps, evaluate_every, checkpoint_every, precision=precision),
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        fingerprints=extra.pop("fingerprints", {"data_fingerprint": dataset.fingerprint}),
        **extra,
    )


def looped(member: Member, **options: Any) -> Loop:
    """The loop over one member by itself."""
    return Loop(SingleStrategy(member), **{"done": lambda *_: None} | options)


def train(member: Member, **options: Any) -> RunResult:
    """The member's result, by itself, from its checkpoint or from the start."""
    results: list[RunResult] = []
    member.resume()
    looped(member, done=lambda _, result: results.append(result), **options).run()
    return results[0]
