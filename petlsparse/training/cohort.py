"""Several trainings as one: in lockstep, each with the result it would have alone, up to the rounding of floats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from petlsparse.slots import Slot
from petlsparse.training.alike import by_optimizer, check_alike, consecutive
from petlsparse.training.capture import CapturedStep
from petlsparse.training.cohort_method import CohortMethod, OneByOne
from petlsparse.training.evaluation import Score
from petlsparse.training.feeds import Feed
from petlsparse.training.loop import Training
from petlsparse.training.method import Method
from petlsparse.training.result import RunResult
from petlsparse.training.seeding import stream
from petlsparse.training.stack import Stack, StackedModels, batched, evaluate_stack, member_losses
from petlsparse.training.stacked_optimizer import StackedOptimizer
from petlsparse.training.timer import Timer

Done = Callable[[int, RunResult], None]
"""Told the index of a member and its result, as soon as there is one."""


class CohortTraining:
    """Trains `trainings` as one, `run()` to the end or until asked to stop.

    Members stay what they are: their weights, optimizer states and sums become views of common tensors, so that each
    keeps its own history, best weights and checkpoint, and could go on alone at any time. They may differ in seed,
    initial weights, method, learning rate and schedule, weight decay and momentum. One that diverges has its result;
    what becomes of its numbers touches no other.

    What time passes is booked in equal parts on those still training.

    Args:
        trainings: where their checkpoints stand, all at the same step; their own `should_stop` is not asked. The
            first one's feeds serve all.
        stack: models as one; they are given in another order than `trainings`.
        method: methods as one, given in the order of the stack's members.
        done: told each result.
        should_stop: asked after every step.
        warn: told what went wrong without harm.
        timer: measures since they were taken up; now, unless given.

    Raises:
        Incompatible: they cannot be trained as one; says why.
    """

    def __init__(
        self,
        trainings: Sequence[Training],
        *,
        stack: Callable[[Sequence[nn.Module]], Stack] = StackedModels,
        method: Callable[[Sequence[Method], Stack], CohortMethod] = lambda methods, _: OneByOne(methods),
        done: Done,
        should_stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda _: None,
        timer: Timer | None = None,
    ) -> None:
        check_alike(trainings)
        grouped = by_optimizer(trainings)
        self.places = [i for group in grouped for i in group]
        self.members = [trainings[i] for i in self.places]
        self.working = list(range(len(self.members)))
        self.done, self.should_stop, self.warn = done, should_stop, warn
        self.timer = timer or Timer()
        self.timer.share(self.members)
        for member in self.members:
            member.timer = self.timer
        first = self.members[0]
        self.settings, self.device, self.feed = first.settings, first.device, first.train
        self.stack = stack([member.model for member in self.members])
        self.method = method([member.method for member in self.members], self.stack)
        on_cuda = self.device.type == "cuda"
        self.groups = consecutive(grouped)
        optimizers = [member.optimizer for member in self.members]
        self.optimizer = StackedOptimizer(optimizers, self.groups, self.stack.slots, captured=on_cuda)
        self.captured = CapturedStep() if on_cuda else None
        self._owned = _owned(self.stack, len(self.members))
        self.loss_sum = torch.stack([member.loss_sum for member in self.members])
        self.correct = torch.stack([member.correct for member in self.members])
        for member, loss_sum, correct in zip(self.members, self.loss_sum, self.correct, strict=True):
            member.loss_sum, member.correct = loss_sum, correct
        self.leaders = list({member.seed: member for member in self.members}.values())
        """One for each seed: those with the same seed see the same batches."""
        seeds = [member.seed for member in self.leaders]
        self.of = torch.tensor([seeds.index(member.seed) for member in self.members], device=self.device)

    def run(self) -> None:
        """Train to the end; every member's result is handed to `done`."""
        self.timer.lap()
        self.stack.train(True)
        with _own_stream(self.device):
            for epoch, chosen in self.batches():
                self.advance(epoch, chosen)
                if not self.working:
                    return
                if self.now < self.settings.total_steps and self.should_stop():
                    self.save()
                    for i in self.working:
                        self.done(self.places[i], RunResult(status="interrupted"))
                    return
            self.finish()

    def try_out(self) -> None:
        """Steps and a validation pass, for those who measure memory; the members are of no use afterwards.

        Steps of every kind: a recorded one holds memory of its own beside what the others use.
        """
        self.stack.train(True)
        with _own_stream(self.device):
            for epoch, chosen in islice(self.batches(), 1 if self.captured is None else CapturedStep.WARM_UP + 2):
                self.step(epoch, chosen)
            self.compute(*self.batch(self.now + 1, chosen))
            self.evaluate(epoch, self.working)

    @property
    def now(self) -> int:
        """Optimizer steps done."""
        return self.members[self.working[0]].journey.step

    def batches(self) -> Iterator[tuple[int, Tensor]]:
        """(epoch, examples of the batch of each seed (U, B)) up to the last step."""
        size, of_epoch = self.settings.batch_size, -1
        for step in range(self.now, self.settings.total_steps):
            epoch, within = divmod(step, self.members[0].epoch_steps)
            if epoch != of_epoch:
                orders, of_epoch = torch.stack([leader.order(epoch) for leader in self.leaders]), epoch
            yield epoch + 1, orders[:, within * size : (within + 1) * size]

    def advance(self, epoch: int, chosen: Tensor) -> None:
        """A step of all and what is due before and after it."""
        if self.members[0].evaluation_due(self.now + 1):
            early = [i for i in self.working if self.members[i].evaluates_early()]
            self.evaluate(self.members[self.working[0]].epochs(), early)
        if self.working:
            self.step(epoch, chosen)
            self.milestone(epoch)

    def step(self, epoch: int, chosen: Tensor) -> None:
        """One optimizer step of all, on the chosen examples, with the methods' hooks around it."""
        index, count = self.now + 1, chosen.shape[1]
        inputs, labels = self.batch(index, chosen)
        self.set_lrs(index)
        due = [i for i in self.method.due(index) if i in self.working]
        if due:
            self.backward(inputs, labels)
            self.lend_gradients(due)
            self.method.after_backward(index, due)
            self.update()
            self.method.after_step(index, due)
            self.take_gradients(due)
        elif self.captured is not None and count == self.settings.batch_size:
            self.captured(self.compute, inputs, labels)
        else:
            self.compute(inputs, labels)
        for i in self.working:
            self.members[i].seen += count
            self.members[i].journey.step = index
        if index % self.members[0].epoch_steps == 0:
            due = self.working
            for i in due:
                self.members[i].method.after_epoch(epoch)
        self.collect(due)

    def batch(self, index: int, chosen: Tensor) -> tuple[Any, Tensor]:
        """Inputs and labels of a batch for each seed, (U, B, ...)."""
        feed, labels = self.feed, self.feed.labels[chosen]
        if not feed.random:
            return batched(feed.batch(chosen.flatten()), len(chosen)), labels
        each = [
            feed.batch(examples, stream(leader.seed, "augment", index))
            for examples, leader in zip(chosen, self.leaders, strict=True)
        ]
        return torch.stack(each), labels

    def set_lrs(self, index: int) -> None:
        """Every member's learning rate of a step."""
        lrs = []
        for group in self.groups:
            leader = self.members[group.start]
            lrs.append(leader.base_lrs[0] * leader.schedule(index))
            for i in group:
                for settings in self.members[i].optimizer.param_groups:
                    settings["lr"] = lrs[-1]
        self.optimizer.set_lrs(lrs)

    def compute(self, inputs: Any, labels: Tensor) -> None:
        """Everything of a step that the device does by itself."""
        self.backward(inputs, labels)
        self.update()

    def backward(self, inputs: Any, labels: Tensor) -> None:
        """Gradients of all, and the sums that training accuracy and loss are read from."""
        for slot in self.stack.slots:
            slot.rows.grad = None
        labels = labels.expand(len(self.members), -1) if len(labels) == 1 else labels.index_select(0, self.of)
        with self.members[0].autocast():
            logits = self.stack(inputs, self.of)
        losses = member_losses(logits, labels, self.settings.label_smoothing)
        losses.sum().backward()  # type: ignore[no-untyped-call]  # of each member's loss, its own weights' gradient
        self.loss_sum += losses.detach() * labels.shape[1]
        self.correct += (logits.detach().argmax(2) == labels).sum(1)

    def update(self) -> None:
        """The optimizer step, with what methods do at every one."""
        self.method.before_step()
        self.optimizer.step()
        self.method.apply()

    def lend_gradients(self, to: Sequence[int]) -> None:
        """Let members' parameters hold their gradients."""
        for i in to:
            for parameter, slot, k in self._owned[i]:
                gradient = slot.gradient()
                parameter.grad = None if gradient is None else gradient[k]

    def take_gradients(self, back: Sequence[int]) -> None:
        """The inverse: they would be memory held for nothing."""
        for i in back:
            for parameter, _, _ in self._owned[i]:
                parameter.grad = None

    def collect(self, of: Sequence[int]) -> None:
        """Add the rows that members' methods recorded to theirs."""
        for i in of:
            self.members[i].journey.collect(self.members[i].method.rows())

    def milestone(self, epoch: int) -> None:
        """Evaluate, checkpoint and report where due."""
        step = self.now
        if self.members[0].evaluation_due(step):
            self.evaluate(epoch, [i for i in self.working if not self.members[i].early(step)])
        if self.working and self.members[self.working[0]].checkpoint_due():
            self.save()
        if self.working:
            self.members[self.working[0]].tell(epoch)

    def evaluate(self, epoch: int, members: Sequence[int]) -> None:
        """Close the training sums of these, score them on validation; whose are not numbers is done."""
        if not members:
            return
        train = {i: self.members[i].close_sums(epoch) for i in members}
        val = self.score(self.members[0].val)
        for i in list(members):
            member = self.members[i]
            if not member.judge(epoch, train[i], val[i]):
                self.timer.lap()
                self.collect([i])
                self.done(self.places[i], member.result("diverged"))
                self.working.remove(i)
        self.timer.share([self.members[i] for i in self.working])

    def score(self, feed: Feed) -> Sequence[Score | None]:
        """Every member's current weights on a split; None if it is empty."""
        if not len(feed.labels):
            return [None] * len(self.members)
        return evaluate_stack(self.stack, len(self.members), feed, autocast=self.members[0].autocast)

    def save(self) -> None:
        """Write every member's checkpoint."""
        self.collect(self.working)
        for i in self.working:
            self.members[i].save()

    def finish(self) -> None:
        """Read the test split, once for all, and score it with the last weights and with the best ones."""
        if self.captured is not None and self.captured.failure:
            self.warn(f"steps were not recorded as a CUDA graph: {self.captured.failure}")
        test = self.members[0].read_test()
        last = best = self.score(test)
        recalled = [self.members[i].recall_best() for i in self.working]
        if any(recalled):
            best = self.score(test)
        self.collect(self.working)
        self.timer.lap()
        results = {}
        for i in self.working:
            of_last, of_best = last[i], best[i]
            assert of_last is not None
            assert of_best is not None
            results[self.places[i]] = self.members[i].conclude(of_last, of_best)
        for place, result in results.items():
            self.done(place, result)


def _owned(stack: Stack, members: int) -> list[list[tuple[nn.Parameter, Slot, int]]]:
    """For every member: its parameters, each with its slot and its row in it."""
    found: list[list[tuple[nn.Parameter, Slot, int]]] = [[] for _ in range(members)]
    for slot in stack.slots:
        for k, owner in enumerate(slot.owners):
            found[owner].append((slot.parameters[k], slot, k))
    return found


def _own_stream(device: torch.device) -> AbstractContextManager[Any]:
    """On CUDA, a stream that can be recorded."""
    if device.type != "cuda":
        return nullcontext()
    own = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    own.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(own)
