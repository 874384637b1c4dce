"""One run in training: what is trained and on what, how far it is, its best weights, its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from petlsparse.tracking.fingerprints import FINGERPRINTS
from petlsparse.tracking.progress import Progress
from petlsparse.training import checkpoint as ckpt
from petlsparse.training.evaluation import Evaluation, is_finite
from petlsparse.training.loaders import Loader
from petlsparse.training.loop_settings import LoopSettings, examples_seen, steps_per_epoch
from petlsparse.training.method import Method
from petlsparse.training.result import RunResult
from petlsparse.training.schedules import Schedule
from petlsparse.training.seeding import global_generator, random_stream, seeded
from petlsparse.training.state import TrainState
from petlsparse.training.task import Task, classification

Report = Callable[[Progress], None]


class Member:
    """One of the runs that `training.loop.Loop` trains as one, or the only one.

    Args:
        method: what to train; its model is on `device` already.
        train, val: on `device`; `val` may be empty.
        read_test: called once, at the end, of the first member only.
        optimizer: over the method's parameters; the learning rate of each of its groups is that group's base of
            `schedule`. The history tells the one that the optimizer was made with.
        schedule: optimizer step (from 1) -> factor on the base learning rate.
        settings: lengths and arithmetic.
        task: what it is trained for and judged by.
        seed: of the streams "order", "augment" and "dropout".
        device: where everything happens.
        fingerprints: of what the run's result rests on besides its settings, by column of the runs table; a checkpoint
            made with others is not continued.
        runtime_choices: how the run is executed, kept in its checkpoint so that it is continued in the same way.
        checkpoint: file to continue from and to save to; None does neither.
        run_id: whose checkpoint it is; that of another run is not continued.
        report: told after every evaluation, and of the first member after every step.

    Attributes:
        draws: whether a step draws from the global generator, as dropout does; None until the first one has told.
        loss_sum, correct: float64 and int64 scalars over the `seen` examples trained on since the last evaluation.
            They stay on the device: reading them at every step would make it wait.
        best_tensors: what training changed of the model, at the best evaluation; empty before the first.
        last_tensors: the same at the end of the training; empty before.
    """

    def __init__(
        self,
        method: Method,
        *,
        train: Loader,
        val: Loader,
        read_test: Callable[[], Loader],
        optimizer: Optimizer,
        schedule: Schedule,
        settings: LoopSettings,
        task: Task | None = None,
        seed: int,
        device: torch.device,
        checkpoint: Path | None = None,
        run_id: str = "",
        fingerprints: Mapping[str, str] = MappingProxyType({}),
        runtime_choices: Mapping[str, str] = MappingProxyType({}),
        report: Report = lambda _: None,
    ) -> None:
        self.method, self.model = method, method.model
        self.train, self.val, self.read_test = train, val, read_test
        self.optimizer, self.schedule = optimizer, schedule
        self.settings, self.seed, self.device = settings, seed, device
        self.task = task or classification()
        self.checkpoint, self.run_id = checkpoint, run_id
        self.fingerprints, self.runtime_choices = dict(fingerprints), dict(runtime_choices)
        self.report = report
        self.examples = len(train.labels)
        self.epoch_steps = steps_per_epoch(self.examples, settings.batch_size)
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.draws: bool | None = None
        self.state = TrainState()
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.seen = 0
        self.best_tensors: dict[str, Tensor] = {}
        self.last_tensors: dict[str, Tensor] = {}
        method.bind(optimizer)

    def order(self, epoch: int) -> Tensor:
        """The training examples in the order of an epoch, counted from 0: int64 (N,) by seed and epoch alone."""
        return torch.randperm(self.examples, generator=random_stream(self.seed, "order", epoch)).to(self.device)

    def epochs(self) -> int:
        """How many epochs have begun."""
        return -(-self.state.step // self.epoch_steps)

    def set_lrs(self, step: int) -> None:
        """The learning rate of a step, in every group of the optimizer."""
        factor = self.schedule(step)
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr * factor

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 autocast when asked for; float32 is the reference."""
        if self.settings.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def dropout(self, step: int) -> AbstractContextManager[None]:
        """What a step is computed in, so that what it drops out, or draws else, follows from seed and step alone."""
        return nullcontext() if self.draws is False else self._drawing(step)

    @contextmanager
    def _drawing(self, step: int) -> Iterator[None]:
        with seeded(self.seed, "dropout", step, device=self.device):
            before = None if self.draws else global_generator(self.device).get_state()
            yield
            if before is not None:
                self.draws = not torch.equal(before, global_generator(self.device).get_state())

    # -- evaluation ----------------------------------------------------------------------------------------------------

    def evaluation_due(self, step: int) -> bool:
        """Whether validation belongs to this step."""
        return step % self.settings.evaluate_every == 0 or step == self.settings.total_steps

    def evaluated_before(self, step: int) -> bool:
        """Whether the evaluation that belongs to a step comes before it.

        So it does where weights are pruned: right after that a network is at its worst, and one that is never pruned
        would be compared with it, and weights selected, unfairly. The last weights are scored as they are.
        """
        return step < self.settings.total_steps and self.method.updates_topology(step)

    def evaluation_due_now(self) -> bool:
        """Whether to evaluate now, before the next step; not if nothing was trained since the last time."""
        upcoming = self.state.step + 1
        return self.seen > 0 and self.evaluation_due(upcoming) and self.evaluated_before(upcoming)

    def training_metrics(self) -> Evaluation:
        """Loss and accuracy in training since the last time; the sums start again. Waits for the device."""
        train = {"loss": self.loss_sum.item() / self.seen, "accuracy": 100 * self.correct.item() / self.seen}
        self.loss_sum.zero_()
        self.correct.zero_()
        self.seen = 0
        return train

    def record_evaluation(self, epoch: int, train: Evaluation, val: Evaluation | None) -> bool:
        """Log and report the scores, and remember the best weights on validation. False if not a number."""
        self.state.log(epoch, "train", lr=self.optimizer.defaults["lr"] * self.schedule(self.state.step), **train)
        sound = is_finite(train)
        if sound and val is not None:
            self.state.log(epoch, "val", **val)
            sound = is_finite(val)
        self.report_progress(epoch, evaluated=True)
        if sound and val is not None and self.state.is_best(val[self.task.select_by]):
            self.state.mark_best(epoch, val[self.task.select_by])
            self.best_tensors = self.snapshot()
        return sound

    def report_progress(self, epoch: int, *, evaluated: bool = False) -> None:
        """Report how far the training is; where it was just evaluated, with that evaluation's metrics alone."""
        metrics = self.state.logged_now() if evaluated else self.state.latest
        self.report(Progress(self.state.step, self.settings.total_steps, epoch, metrics, evaluated))

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of what training changed so far."""
        return {name: tensor.clone() for name, tensor in ckpt.learned_tensors(self.model).items()}

    # -- the end -------------------------------------------------------------------------------------------------------

    def load_best(self) -> bool:
        """Keep the last weights and put the best ones in their place. False if they are the same."""
        self.last_tensors = self.snapshot()
        if not self.best_tensors or self.state.best_step == self.state.step:
            return False
        ckpt.load_learned_tensors(self.model, self.best_tensors)
        return True

    def finish(self, last: Evaluation, best: Evaluation) -> RunResult:
        """The result of a finished run, from its scores on the test split; the model gets its last weights back."""
        ckpt.load_learned_tensors(self.model, self.last_tensors)
        self.state.log(self.epochs(), "test", **last)
        return self.result("done", **{f"test_{name}": value for name, value in best.items()})

    def result(self, status: Literal["done", "diverged"], **test: float) -> RunResult:
        """What the run hands back, as it stands now."""
        return RunResult(
            status=status,
            metrics={**self.state.metrics(self.epochs()), **test},
            history=self.state.history,
            rows=self.state.rows,
            cost=self.state.cost(examples_seen(self.state.step, self.examples, self.settings.batch_size)),
        )

    # -- the checkpoint ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write everything needed to continue bit-identically, if there is a place for it."""
        if self.checkpoint is None:
            return
        groups = {
            "model": ckpt.learned_tensors(self.model),
            "optimizer": ckpt.optimizer_tensors(self.optimizer),
            "method": self.method.state(),
            "best": self.best_tensors,
            "sums": {"loss": self.loss_sum, "correct": self.correct},
        }
        metadata = {
            "run_id": self.run_id,
            "train_state": self.state.to_json(),
            "seen": self.seen,
            "fingerprints": self.fingerprints,
            "runtime_choices": self.runtime_choices,
        }
        ckpt.save_checkpoint(self.checkpoint, ckpt.pack(groups), metadata)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one. Raises BrokenCheckpoint when it cannot be used."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        packed, metadata = ckpt.load_checkpoint(self.checkpoint, self.device)
        if metadata.get("run_id") != self.run_id:
            raise ckpt.BrokenCheckpoint(f"it is of another run, {metadata.get('run_id')}")
        made_with = metadata.get("fingerprints", {})
        others = [name for name, value in self.fingerprints.items() if made_with.get(name) != value]
        if others:
            words = ", ".join(FINGERPRINTS[name].words for name in others)
            raise ckpt.BrokenCheckpoint(f"it was made with others than there are now: {words}")
        try:
            self._restore(ckpt.unpack(packed), metadata)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise ckpt.BrokenCheckpoint(f"its content does not fit the run: {error!r}") from error

    def _restore(self, tensors: Mapping[str, dict[str, Tensor]], metadata: dict[str, Any]) -> None:
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
        self.seen = int(metadata["seen"])
        state = TrainState.from_json(metadata["train_state"])
        if not 0 < state.step < self.settings.total_steps:
            raise ValueError(f"step {state.step} of {self.settings.total_steps}")
        self.state = state
