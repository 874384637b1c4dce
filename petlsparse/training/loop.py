"""The training loop, of one run as of many that are trained as one.

batch -> forward -> loss -> backward -> methods' hooks -> optimizer -> methods' hooks -> every so often: evaluate on
validation, remember the best weights, write checkpoints. The test split is read once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from petlsparse.metrics.accuracy import correct_count
from petlsparse.training.evaluation import Evaluation, batched, evaluate, is_finite
from petlsparse.training.member import Member
from petlsparse.training.result import RunResult
from petlsparse.training.seeding import random_stream
from petlsparse.training.strategy import Strategy
from petlsparse.training.timer import Timer

Done = Callable[[Member, RunResult], None]
"""Told a member and its result, as soon as there is one."""


class Loop:
    """Trains members in lockstep, `run()` to the end or until asked to stop.

    Each keeps its own state, best weights and checkpoint, and could go on by itself at any time. One that diverges has
    its result; what becomes of its numbers touches no other. Time is booked in equal parts on those still training.

    Args:
        strategy: computes for its members, who are all at the same step. The first one's loaders serve all.
        done: told each result; "interrupted" right after a checkpoint when asked to stop.
        should_stop: asked after every step.
        warn: told what went wrong without harm.
        timer: measures since the runs were taken up; now, unless given.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        done: Done,
        should_stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda _: None,
        timer: Timer | None = None,
    ) -> None:
        self.strategy, self.members, self.hooks = strategy, strategy.members, strategy.hooks
        self.done, self.should_stop, self.warn = done, should_stop, warn
        self.active = list(range(len(self.members)))
        self.timer = timer or Timer()
        self.timer.share(self.members)
        self.saved_at = self.timer.clock()
        first = self.members[0]
        self.settings, self.loader, self.epoch_steps = first.settings, first.train, first.epoch_steps
        self.loss_sum = torch.stack([member.loss_sum for member in self.members])
        self.correct = torch.stack([member.correct for member in self.members])
        for member, loss_sum, correct in zip(self.members, self.loss_sum, self.correct, strict=True):
            member.loss_sum, member.correct = loss_sum, correct
        self.one_per_seed = list({member.seed: member for member in self.members}.values())
        """One for each seed: those with the same seed see the same batches."""
        seeds = [member.seed for member in self.one_per_seed]
        self.batch_index = torch.tensor([seeds.index(member.seed) for member in self.members], device=first.device)

    def run(self) -> None:
        """Train to the end; every member's result is handed to `done`."""
        self.timer.lap()
        self.strategy.train(True)
        with self.strategy.context():
            for epoch, chosen in self.batches():
                self.advance(epoch, chosen)
                if not self.active:
                    return
                if self.steps_done < self.settings.total_steps and self.should_stop():
                    self.save()
                    for i in self.active:
                        self.done(self.members[i], RunResult(status="interrupted"))
                    return
            self.finish()

    @property
    def steps_done(self) -> int:
        """Optimizer steps done."""
        return self.members[self.active[0]].state.step

    def batches(self) -> Iterator[tuple[int, Tensor]]:
        """(epoch, examples of the batch of each seed (U, B)) up to the last step."""
        size, of_epoch = self.settings.batch_size, -1
        for step in range(self.steps_done, self.settings.total_steps):
            epoch, within = divmod(step, self.epoch_steps)
            if epoch != of_epoch:
                orders, of_epoch = torch.stack([member.order(epoch) for member in self.one_per_seed]), epoch
                chunks = torch.split(orders, size, dim=1)
            yield epoch + 1, chunks[within]

    def advance(self, epoch: int, chosen: Tensor) -> None:
        """A step of all and what is due before and after it."""
        if self.members[0].evaluation_due(self.steps_done + 1):
            before = [i for i in self.active if self.members[i].evaluation_due_now()]
            self.evaluate(self.members[self.active[0]].epochs(), before)
        if self.active:
            self.step(epoch, chosen)
            self.after_step(epoch)

    def step(self, epoch: int, chosen: Tensor) -> None:
        """One optimizer step of all, on the chosen examples, with the methods' hooks around it."""
        index, count = self.steps_done + 1, chosen.shape[1]
        inputs, labels = self.batch(index, chosen)
        self.strategy.set_lrs(index)
        due = [i for i in self.hooks.due(index) if i in self.active]
        with self.members[0].dropout(index):
            if due:
                self.backward(inputs, labels)
                self.strategy.attach_gradients(due)
                self.hooks.after_backward(index, due)
                self.update()
                self.hooks.after_step(index, due)
                self.strategy.detach_gradients(due)
            else:
                self.strategy.run(self.compute, inputs, labels)
        for i in self.active:
            self.members[i].seen += count
            self.members[i].state.step = index
        if index % self.epoch_steps == 0:
            due = self.active
            for i in due:
                self.members[i].method.after_epoch(epoch)
        self.collect_rows(due)

    def batch(self, index: int, chosen: Tensor) -> tuple[Any, Tensor]:
        """Inputs and labels of a batch for each seed, (U, B, ...)."""
        loader, labels = self.loader, self.loader.labels[chosen]
        if not loader.random:
            return batched(loader.batch(chosen.flatten() if len(chosen) > 1 else chosen[0]), len(chosen)), labels
        each = [
            loader.batch(examples, random_stream(member.seed, "augment", index))
            for examples, member in zip(chosen, self.one_per_seed, strict=True)
        ]
        return (torch.stack(each) if len(each) > 1 else batched(each[0], 1)), labels

    def compute(self, inputs: Any, labels: Tensor) -> None:
        """Everything of a step that the device does by itself."""
        self.backward(inputs, labels)
        self.update()

    def backward(self, inputs: Any, labels: Tensor) -> None:
        """Gradients of all, and the sums that training accuracy and loss are read from."""
        self.strategy.zero_grad()
        labels = labels.expand(len(self.members), -1) if len(labels) == 1 else labels.index_select(0, self.batch_index)
        with self.members[0].autocast():
            logits = self.strategy.logits(inputs, self.batch_index)
        losses = self.strategy.losses(logits, labels, "mean", self.settings.label_smoothing)
        losses.backward(torch.ones_like(losses))  # type: ignore[no-untyped-call]  # of each member's loss, its own weights' gradient
        self.loss_sum += losses.detach() * labels.shape[1]
        self.correct += correct_count(logits.detach(), labels)

    def update(self) -> None:
        """The optimizer step, with what methods do at every one."""
        self.hooks.before_step()
        self.strategy.optimizer_step()
        self.hooks.apply()

    def collect_rows(self, of: Sequence[int]) -> None:
        """Add the rows that methods recorded to the state of their members."""
        for i in of:
            self.members[i].state.add_rows(self.members[i].method.rows())

    def after_step(self, epoch: int) -> None:
        """Evaluate, checkpoint and report where due."""
        step = self.steps_done
        if self.members[0].evaluation_due(step):
            self.evaluate(epoch, [i for i in self.active if not self.members[i].evaluated_before(step)])
        if self.active:
            if self.checkpoint_due():
                self.save()
            self.members[self.active[0]].report_progress(epoch)

    def evaluate(self, epoch: int, members: Sequence[int]) -> None:
        """Close the training sums of these, score them on validation; those whose loss is not a number are done."""
        if not members:
            return
        train = {i: self.members[i].training_metrics() for i in members}
        self.timer.lap(training=True)
        loader, val = self.members[0].val, cast("Sequence[Evaluation | None]", [None] * len(self.members))
        if len(loader.labels) and any(map(is_finite, train.values())):
            val = evaluate(self.strategy, loader)
        diverged = [i for i in members if not self.members[i].record_evaluation(epoch, train[i], val[i])]
        self.timer.lap()
        self.collect_rows(diverged)
        for i in diverged:
            self.active.remove(i)
            self.done(self.members[i], self.members[i].result("diverged"))
        self.timer.share([self.members[i] for i in self.active])

    def checkpoint_due(self) -> bool:
        """Whether to write checkpoints at this step, whether or not a stop is asked for."""
        if self.steps_done % self.settings.checkpoint_every or self.steps_done == self.settings.total_steps:
            return False
        return self.timer.clock() - self.saved_at >= self.settings.checkpoint_seconds

    def save(self) -> None:
        """Write every member's checkpoint."""
        self.loss_sum.tolist()  # waits for the device
        self.timer.lap(training=True)
        self.collect_rows(self.active)
        for i in self.active:
            self.members[i].save()
        self.timer.lap()
        self.saved_at = self.timer.clock()

    def finish(self) -> None:
        """Read the test split, once for all, and score it with the last weights and with the best ones."""
        for warning in self.strategy.warnings():
            self.warn(warning)
        test = self.members[0].read_test()
        last = best = evaluate(self.strategy, test)
        replaced = [self.members[i].load_best() for i in self.active]
        if any(replaced):
            best = evaluate(self.strategy, test)
        self.collect_rows(self.active)
        self.timer.lap()
        results = [(self.members[i], self.members[i].finish(last[i], best[i])) for i in self.active]
        for member, result in results:
            self.done(member, result)
