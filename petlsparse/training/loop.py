"""The training loop that both studies share.

batch -> forward -> loss -> backward -> method's hook -> optimizer -> method's hook -> every so often: evaluate on
validation, remember the best weights, write a checkpoint. The test split is read once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.progress import Progress
from petlsparse.training import checkpoint as ckpt
from petlsparse.training.evaluation import Score, evaluate
from petlsparse.training.feeds import Feed
from petlsparse.training.journey import Journey
from petlsparse.training.method import Method
from petlsparse.training.result import RunResult
from petlsparse.training.schedules import Schedule
from petlsparse.training.seeding import derived_seed, stream
from petlsparse.training.settings import Settings, examples_seen, steps_per_epoch
from petlsparse.training.timer import Timer

Report = Callable[[Progress], None]


class Training:
    """One run of one method: `run()` trains to the end, or until asked to stop, from where the checkpoint stands.

    Args:
        method: what to train; its model is on `device` already.
        train, val: on `device`; `val` may be empty.
        read_test: called once, at the end.
        optimizer: over the method's parameters; the learning rate of each of its groups is that group's base of
            `schedule`. The history tells the first group's.
        schedule: optimizer step (from 1) -> factor on the base learning rate.
        settings: lengths and arithmetic.
        seed: of the streams "order", "augment" and "dropout".
        device: where everything happens.
        fingerprints: of what the run's result rests on besides its settings, by column of the runs table; a checkpoint
            made with others is not continued.
        manner: how the run is executed, kept in its checkpoint so that it is continued in the same manner.
        checkpoint: file to continue from and to save to; None does neither.
        run_id: whose checkpoint it is; that of another run is not continued.
        timer: measures since the run was taken up; now, unless given.
        report: told after every evaluation and after every step.
        should_stop: asked after every step.
    """

    def __init__(
        self,
        method: Method,
        *,
        train: Feed,
        val: Feed,
        read_test: Callable[[], Feed],
        optimizer: Optimizer,
        schedule: Schedule,
        settings: Settings,
        seed: int,
        device: torch.device,
        checkpoint: Path | None = None,
        run_id: str = "",
        timer: Timer | None = None,
        fingerprints: Mapping[str, str] = MappingProxyType({}),
        manner: Mapping[str, str] = MappingProxyType({}),
        report: Report = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.method, self.model = method, method.model
        self.train, self.val, self.read_test = train, val, read_test
        self.optimizer, self.schedule = optimizer, schedule
        self.settings, self.seed, self.device = settings, seed, device
        self.checkpoint, self.run_id = checkpoint, run_id
        self.fingerprints, self.manner = dict(fingerprints), dict(manner)
        self.report, self.should_stop = report, should_stop
        self.examples = len(train.labels)
        self.epoch_steps = steps_per_epoch(self.examples, settings.batch_size)
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.has_dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.model.modules())
        self.journey = Journey()
        self.timer = timer or Timer()
        self.timer.share([self])
        self.saved_at = self.timer.clock()
        self.best_tensors: dict[str, Tensor] = {}
        self.last_tensors: dict[str, Tensor] = {}
        # Sums since the last evaluation stay on the device: reading them at every step would make it wait.
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.seen = 0
        method.bind(optimizer)

    def run(self) -> RunResult:
        """Train to the end. Returns status "interrupted" right after a checkpoint when asked to stop.

        Raises BrokenCheckpoint when the checkpoint cannot be used.
        """
        self.resume()
        self.timer.lap()
        self.model.train()
        for epoch, chosen in self.batches():
            if not self.advance(epoch, chosen):
                self.timer.lap()
                return self.result("diverged")
            if self.journey.step < self.settings.total_steps and self.should_stop():
                self.save()
                return RunResult(status="interrupted")
        return self.finish()

    def batches(self) -> Iterator[tuple[int, Tensor]]:
        """(epoch, examples of the batch) up to the last step. The order depends on seed and epoch alone."""
        journey, total = self.journey, self.settings.total_steps
        while journey.step < total:
            epoch, within = divmod(journey.step, self.epoch_steps)
            chunks = torch.split(self.order(epoch), self.settings.batch_size)
            for chunk in chunks[within : within + total - journey.step]:
                yield epoch + 1, chunk

    def order(self, epoch: int) -> Tensor:
        """The training examples in the order of an epoch, counted from 0."""
        return torch.randperm(self.examples, generator=stream(self.seed, "order", epoch)).to(self.device)

    def advance(self, epoch: int, chosen: Tensor) -> bool:
        """A step and what is due before and after it. False once the training has diverged."""
        if self.evaluates_early() and not self.evaluate(self.epochs()):
            return False
        self.step(epoch, chosen)
        return self.milestone(epoch)

    def step(self, epoch: int, chosen: Tensor) -> None:
        """One optimizer step, on the chosen training examples, with the method's hooks around it."""
        index = self.journey.step + 1
        inputs = self.train.batch(chosen, stream(self.seed, "augment", index) if self.train.random else None)
        labels = self.train.labels[chosen]
        if self.has_dropout:
            torch.manual_seed(derived_seed(self.seed, "dropout", index))
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr * self.schedule(index)
        with self.autocast():
            logits: Tensor = self.model(inputs)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.method.after_backward(index)
        self.optimizer.step()
        self.method.after_step(index)
        if index % self.epoch_steps == 0:
            self.method.after_epoch(epoch)
        self.journey.collect(self.method.rows())
        self.loss_sum += loss.detach() * len(chosen)
        self.correct += (logits.detach().argmax(1) == labels).sum()
        self.seen += len(chosen)
        self.journey.step = index

    def milestone(self, epoch: int) -> bool:
        """Evaluate, checkpoint and report where due. False once the training has diverged."""
        step = self.journey.step
        if self.evaluation_due(step) and not self.early(step) and not self.evaluate(epoch):
            return False
        if self.checkpoint_due():
            self.save()
        self.tell(epoch)
        return True

    def tell(self, epoch: int, *, evaluated: bool = False) -> None:
        """Report how far the training is; where it was just evaluated, with that evaluation's metrics alone."""
        journey, total = self.journey, self.settings.total_steps
        metrics = journey.here() if evaluated else journey.latest
        self.report(Progress(journey.step, total, epoch, metrics, evaluated))

    def evaluation_due(self, step: int) -> bool:
        """Whether validation belongs to this step."""
        return step % self.settings.evaluate_every == 0 or step == self.settings.total_steps

    def early(self, step: int) -> bool:
        """Whether the evaluation that belongs to a step comes before it.

        So it does where weights are pruned: right after that a network is at its worst, and one that is never pruned
        would be compared with it, and weights selected, unfairly. The last weights are scored as they are.
        """
        return step < self.settings.total_steps and self.method.updates_topology(step)

    def evaluates_early(self) -> bool:
        """Whether to evaluate now, before the next step; not if nothing was trained since the last time."""
        following = self.journey.step + 1
        return self.seen > 0 and self.evaluation_due(following) and self.early(following)

    def checkpoint_due(self) -> bool:
        """Whether to write a checkpoint at this step, though nobody asks to stop."""
        step, settings = self.journey.step, self.settings
        if step % settings.checkpoint_every or step == settings.total_steps:
            return False
        return self.timer.clock() - self.saved_at >= settings.checkpoint_seconds

    def evaluate(self, epoch: int) -> bool:
        """Close the training sums, score the validation split, remember the best weights. False if not a number."""
        train = self.close_sums(epoch)
        val = self.score(self.val) if math.isfinite(train.loss) and len(self.val.labels) else None
        return self.judge(epoch, train, val)

    def close_sums(self, epoch: int) -> Score:
        """Loss and accuracy in training since the last time; the sums start again."""
        train = Score(self.loss_sum.item() / self.seen, 100 * self.correct.item() / self.seen)
        self.timer.lap(training=True)
        lr = self.base_lrs[0] * self.schedule(self.journey.step)
        self.journey.note(epoch, "train", lr=lr, **train._asdict())
        self.loss_sum.zero_()
        self.correct.zero_()
        self.seen = 0
        return train

    def judge(self, epoch: int, train: Score, val: Score | None) -> bool:
        """Note and report the scores, and remember the best weights on validation. False if not a number."""
        finite = math.isfinite(train.loss)
        if finite and val is not None:
            self.journey.note(epoch, "val", **val._asdict())
            finite = math.isfinite(val.loss)
        self.tell(epoch, evaluated=True)
        if not finite:
            return False
        if val is not None and self.journey.improves(val):
            self.journey.crown(epoch, val)
            self.best_tensors = self.snapshot()
        self.timer.lap()
        return True

    def finish(self) -> RunResult:
        """Read the test split, once, and score it with the last weights and with the best ones on validation."""
        test = self.read_test()
        last = best = self.score(test)
        if self.recall_best():
            best = self.score(test)
        self.timer.lap()
        return self.conclude(last, best)

    def recall_best(self) -> bool:
        """Keep the last weights and put the best ones in their place. False if they are the same."""
        self.last_tensors = self.snapshot()
        if not self.best_tensors or self.journey.best_step == self.journey.step:
            return False
        ckpt.load_learned_tensors(self.model, self.best_tensors)
        return True

    def conclude(self, last: Score, best: Score) -> RunResult:
        """The result of a finished run, from its scores on the test split; the model gets its last weights back."""
        ckpt.load_learned_tensors(self.model, self.last_tensors)
        self.journey.note(self.epochs(), "test", **last._asdict())
        of_best = {"test_accuracy": best.accuracy, "test_loss": best.loss}
        of_last = {"test_accuracy_last": last.accuracy, "test_loss_last": last.loss}
        return self.result("done", **of_best, **of_last)

    def result(self, status: Literal["done", "diverged"], **test: float) -> RunResult:
        """What the run hands back, as it stands now."""
        return RunResult(
            status=status,
            metrics={**self.journey.metrics(self.epochs()), **test},
            history=self.journey.history,
            rows=self.journey.rows,
            cost=self.journey.cost(examples_seen(self.journey.step, self.examples, self.settings.batch_size)),
        )

    def epochs(self) -> int:
        """Epochs begun so far."""
        return -(-self.journey.step // self.epoch_steps)

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 autocast when asked for; float32 is the reference."""
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def score(self, feed: Feed) -> Score:
        """Loss and accuracy of the current weights on a split."""
        return evaluate(self.model, feed, autocast=self.autocast)

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of what training changed so far."""
        return {name: tensor.clone() for name, tensor in ckpt.learned_tensors(self.model).items()}

    def save(self) -> None:
        """Write everything needed to continue bit-identically."""
        if self.checkpoint is None:
            return
        self.loss_sum.item()  # waits for the device
        self.timer.lap(training=True)
        groups = {
            "model": ckpt.learned_tensors(self.model),
            "optimizer": ckpt.optimizer_tensors(self.optimizer),
            "method": self.method.state(),
            "best": self.best_tensors,
            "sums": {"loss": self.loss_sum, "correct": self.correct},
        }
        facts = {
            "run_id": self.run_id,
            "journey": self.journey.facts(),
            "seen": self.seen,
            "fingerprints": self.fingerprints,
            "manner": self.manner,
        }
        ckpt.save_checkpoint(self.checkpoint, ckpt.pack(groups), facts)
        self.timer.lap()
        self.saved_at = self.timer.clock()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one. Raises BrokenCheckpoint when it cannot be used."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        packed, facts = ckpt.load_checkpoint(self.checkpoint, self.device)
        if facts.get("run_id") != self.run_id:
            raise ckpt.BrokenCheckpoint(f"it is of another run, {facts.get('run_id')}")
        made_with = facts.get("fingerprints", {})
        others = [name for name, value in self.fingerprints.items() if made_with.get(name) != value]
        if others:
            words = ", ".join(FINGERPRINTS[name].words for name in others)
            raise ckpt.BrokenCheckpoint(f"it was made with others than there are now: {words}")
        try:
            self.restore(ckpt.unpack(packed), facts)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise ckpt.BrokenCheckpoint(f"its content does not fit the run: {error!r}") from error

    def restore(self, tensors: Mapping[str, dict[str, Tensor]], facts: dict[str, Any]) -> None:
        """Put a checkpoint's content in place. May raise where it does not fit."""
        ckpt.load_learned_tensors(self.model, tensors["model"])
        ckpt.load_optimizer_tensors(self.optimizer, tensors["optimizer"])
        self.method.load_state(tensors["method"])
        self.method.rows()  # what construction recorded is among the checkpoint's rows already
        if tensors["best"]:
            ckpt.check_fits(ckpt.learned_tensors(self.model), tensors["best"])
        self.best_tensors = tensors["best"]
        self.loss_sum.copy_(tensors["sums"]["loss"])
        self.correct.copy_(tensors["sums"]["correct"])
        self.seen = int(facts["seen"])
        journey = Journey.from_facts(facts["journey"])
        if not 0 < journey.step < self.settings.total_steps:
            raise ValueError(f"step {journey.step} of {self.settings.total_steps}")
        self.journey = journey
