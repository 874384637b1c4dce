"""The training loop that both studies share.

batch -> augment -> forward -> loss -> backward -> method's hook -> optimizer -> method's hook -> every so often:
evaluate on validation, remember the best weights, write a checkpoint. The test split is read once, at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from petlsparse.data.augment import normalise
from petlsparse.data.types import Dataset, Split
from petlsparse.training import checkpoint as ckpt
from petlsparse.training.evaluation import Score, evaluate
from petlsparse.training.journey import Journey, finite
from petlsparse.training.method import Method
from petlsparse.training.result import RunResult
from petlsparse.training.schedules import Schedule
from petlsparse.training.seeding import derived_seed, stream

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""uint8 images (B, C, H, W) on the device and a CPU generator -> images of the same shape"""

Report = Callable[[int, int, int, dict[str, float]], None]
"""step, total steps, epoch, latest metrics"""


@dataclass(frozen=True)
class Settings:
    """How long, how often and with what arithmetic to train."""

    batch_size: int
    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    precision: Literal["float32", "bf16"] = "float32"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "total_steps", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the data; the last, partial batch counts."""
    return -(-examples // batch_size)


class Training:
    """One run of one method: `run()` trains to the end, or until asked to stop, from wherever the checkpoint stands."""

    def __init__(
        self,
        method: Method,
        dataset: Dataset,
        *,
        optimizer: Optimizer,
        schedule: Schedule,
        augment: Augmentation | None,
        settings: Settings,
        seed: int,
        device: torch.device,
        checkpoint: Path | None = None,
        pixel_mean: tuple[float, ...] | None = None,
        pixel_std: tuple[float, ...] | None = None,
        report: Report = lambda *_: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.method, self.model = method, method.model
        self.dataset, self.optimizer, self.schedule, self.augment = dataset, optimizer, schedule, augment
        self.settings, self.seed, self.device, self.checkpoint = settings, seed, device, checkpoint
        self.mean, self.std = pixel_mean or dataset.mean, pixel_std or dataset.std
        self.report, self.should_stop = report, should_stop
        self.train, self.val = dataset.train.to(device), dataset.val.to(device)
        self.epoch_steps = steps_per_epoch(len(self.train), settings.batch_size)
        self.base_lr: float = optimizer.param_groups[0]["lr"]
        self.journey = Journey()
        self.best_tensors: dict[str, Tensor] = {}
        self.last_tensors: dict[str, Tensor] = {}
        self.clock = time.perf_counter()
        # Sums since the last evaluation, kept on the device: reading them would make the step wait for the GPU.
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.seen = 0
        self.has_dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.model.modules())
        method.bind(optimizer)

    def run(self) -> RunResult:
        """Train to the end. Returns status "interrupted" right after a checkpoint when asked to stop."""
        self.resume()
        self.model.train()
        self.clock = time.perf_counter()
        for epoch, batch in self.batches():
            self.step(epoch, batch)
            ends_epoch = self.journey.step % self.epoch_steps == 0
            if ends_epoch:
                self.method.after_epoch(epoch)
            self.journey.collect(self.method.rows())
            if not self.milestone(epoch):
                return RunResult(status="diverged", **self.outcome())
            if self.journey.step < self.settings.total_steps and self.should_stop():
                self.save()
                return RunResult(status="interrupted")
        return self.finish()

    def batches(self) -> Iterator[tuple[int, Split]]:
        """(epoch, batch) from the step after the current one to the last; the order depends on seed and epoch only."""
        size, journey = self.settings.batch_size, self.journey
        while journey.step < self.settings.total_steps:
            epoch, within = divmod(journey.step, self.epoch_steps)
            order = torch.randperm(len(self.train), generator=stream(self.seed, "order", epoch)).to(self.device)
            for chunk in torch.split(order, size)[within : within + self.settings.total_steps - journey.step]:
                yield epoch + 1, Split(self.train.images[chunk], self.train.labels[chunk])

    def step(self, epoch: int, batch: Split) -> None:
        """One optimizer step with the method's two hooks around it."""
        index = self.journey.step + 1
        images = batch.images
        if self.augment is not None:
            images = self.augment(images, stream(self.seed, "augment", index))
        if self.has_dropout:
            torch.manual_seed(derived_seed(self.seed, "dropout", index))
        for group in self.optimizer.param_groups:
            group["lr"] = self.base_lr * self.schedule(index)
        with self.autocast():
            logits: Tensor = self.model(normalise(images, self.mean, self.std))
        loss = functional.cross_entropy(logits.float(), batch.labels, label_smoothing=self.settings.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.method.after_backward(index)
        self.optimizer.step()
        self.method.after_step(index)
        self.loss_sum += loss.detach() * len(batch)
        self.correct += (logits.detach().argmax(1) == batch.labels).sum()
        self.seen += len(batch)
        self.journey.step = index

    def milestone(self, epoch: int) -> bool:
        """Evaluate, checkpoint and report where due. False once the training has diverged."""
        step, last = self.journey.step, self.settings.total_steps
        if (step % self.settings.evaluate_every == 0 or step == last) and not self.evaluate(epoch):
            return False
        if self.checkpoint is not None and step % self.settings.checkpoint_every == 0 and step < last:
            self.save()
        self.report(step, last, epoch, {metric: value for *_, metric, value in self.journey.history[-5:]})
        return True

    def evaluate(self, epoch: int) -> bool:
        """Close the training sums, score the validation split, remember the best weights."""
        train = Score(self.loss_sum.item() / self.seen, 100 * self.correct.item() / self.seen)
        self.lap(training=True)
        self.journey.note(epoch, "train", lr=self.optimizer.param_groups[0]["lr"], **train._asdict())
        self.loss_sum.zero_()
        self.correct.zero_()
        self.seen = 0
        if not finite(train.loss):
            return False
        if len(self.val):
            val = self.score(self.val)
            self.journey.note(epoch, "val", **val._asdict())
            if not finite(val.loss):
                return False
            if self.journey.improves(val):
                self.journey.crown(epoch, val)
                self.best_tensors = self.snapshot()
        self.lap(training=False)
        return True

    def finish(self) -> RunResult:
        """Read the test split, once: with the last weights and with the best ones on validation."""
        self.last_tensors = self.snapshot()
        test = self.dataset.test().to(self.device)
        last = self.score(test)
        best = last
        if self.best_tensors and self.journey.best_step < self.journey.step:
            ckpt.load_learned_tensors(self.model, self.best_tensors)
            best = self.score(test)
            ckpt.load_learned_tensors(self.model, self.last_tensors)
        epoch = -(-self.journey.step // self.epoch_steps)
        self.journey.note(epoch, "test", **last._asdict())
        outcome = self.outcome()
        outcome["metrics"] |= {
            "test_accuracy": best.accuracy,
            "test_loss": best.loss,
            "test_accuracy_last": last.accuracy,
            "test_loss_last": last.loss,
        }
        return RunResult(status="done", **outcome)

    def outcome(self) -> dict[str, Any]:
        """Metrics, history, rows and cost so far, as fields of RunResult."""
        journey = self.journey
        latest = {(split, metric): value for _, _, split, metric, value in journey.history}
        metrics = {
            "steps": journey.step,
            "epochs": -(-journey.step // self.epoch_steps),
            "train_loss_last": latest.get(("train", "loss")),
            "train_accuracy_last": latest.get(("train", "accuracy")),
            "val_loss_last": latest.get(("val", "loss")),
            "val_accuracy_last": latest.get(("val", "accuracy")),
        }
        if journey.best:
            metrics |= {
                "val_loss_best": journey.best[0],
                "val_accuracy_best": journey.best[1],
                "best_step": journey.best_step,
                "best_epoch": journey.best_epoch,
            }
        self.lap(training=False)
        cost = {
            "wall_seconds": journey.seconds,
            "train_seconds": journey.train_seconds,
            "examples_per_second": self.examples() / journey.train_seconds,
        }
        return {
            "metrics": {name: value for name, value in metrics.items() if value is not None},
            "history": journey.history,
            "rows": journey.rows,
            "cost": cost,
        }

    def examples(self) -> int:
        """Training examples seen so far."""
        epochs, steps = divmod(self.journey.step, self.epoch_steps)
        return epochs * len(self.train) + min(steps * self.settings.batch_size, len(self.train))

    def lap(self, *, training: bool) -> None:
        """Book the time since the last lap. Called right after the device was waited for, so CUDA time counts."""
        now = time.perf_counter()
        self.journey.seconds += now - self.clock
        if training:
            self.journey.train_seconds += now - self.clock
        self.clock = now

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of what training changed so far."""
        return {name: tensor.clone() for name, tensor in ckpt.learned_tensors(self.model).items()}

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 autocast when asked for; float32 is the reference."""
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def score(self, split: Split) -> Score:
        """Loss and accuracy of the current weights on a split."""
        return evaluate(self.model, split, mean=self.mean, std=self.std, autocast=self.autocast)

    def save(self) -> None:
        """Write everything needed to continue bit-identically."""
        if self.checkpoint is None:
            return
        self.lap(training=True)
        groups = {
            "model": ckpt.learned_tensors(self.model),
            "optimizer": ckpt.optimizer_tensors(self.optimizer),
            "method": self.method.state(),
            "best": self.best_tensors,
            "sums": {"loss": self.loss_sum, "correct": self.correct},
        }
        tensors = {f"{group}/{name}": t for group, members in groups.items() for name, t in members.items()}
        ckpt.save_checkpoint(self.checkpoint, tensors, {"journey": self.journey.facts(), "seen": self.seen})

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one. Raises BrokenCheckpoint when it cannot be read."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        tensors, facts = ckpt.load_checkpoint(self.checkpoint, self.device)
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            group, _, member = name.partition("/")
            groups.setdefault(group, {})[member] = tensor
        ckpt.load_learned_tensors(self.model, groups["model"])
        ckpt.load_optimizer_tensors(self.optimizer, groups.get("optimizer", {}))
        self.method.load_state(groups.get("method", {}))
        self.method.rows()  # what construction recorded is in the checkpoint's history already
        self.best_tensors = groups.get("best", {})
        self.loss_sum.copy_(groups["sums"]["loss"])
        self.correct.copy_(groups["sums"]["correct"])
        self.seen = facts["seen"]
        self.journey = Journey.from_facts(facts["journey"])
