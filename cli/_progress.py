"""What is seen while runs are trained: a live table on a terminal, one line per run elsewhere, or nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from petlsparse.analysis.quantities import counted, duration, known, percent
from petlsparse.launch import events
from petlsparse.tracking.progress import Progress

from ._console import err
from ._options import ProgressStyle
from ._title import TitleColumn

Listener = Callable[[events.Event], None]


@contextmanager
def shown(style: ProgressStyle, labels: Mapping[str, str]) -> Iterator[Listener]:
    """A listener for a launcher's events; `labels` says what a run is, by run id."""
    if style is ProgressStyle.none:
        yield lambda event: None
    elif style is ProgressStyle.rich or (style is ProgressStyle.auto and err.moves):
        with Live(labels) as live:
            yield live
    else:
        yield Lines(labels)


NOT_BEGUN = Progress(0, 0, 0)


@dataclass
class Work:
    """What a worker has at hand: a run, or several as one."""

    runs: list[str]
    attempt: int = 1
    progress: Progress = NOT_BEGUN
    training: tuple[str, ...] = ()
    """Those of the runs whose progress it is; the others come before or after, where memory is for a part of them."""

    @property
    def done(self) -> float:
        """How many of the runs are done, those in training by their share."""
        if not self.training:
            return 0.0
        return self.runs.index(self.training[0]) + self.progress.step / self.progress.total_steps * len(self.training)


class Lines:
    """One line per event that matters, for logs: when, how many of how many, what, and how long it will take.

    Args:
        labels: what a run is, by run id.
        clock: the time now.
    """

    def __init__(self, labels: Mapping[str, str], clock: Callable[[], datetime] = lambda: datetime.now().astimezone()):
        self.labels, self.clock = labels, clock
        self.began = clock()
        self.total = self.over = 0
        self.candidates = False
        self.at_work: dict[int, Work] = {}

    def __call__(self, event: events.Event) -> None:
        """Print the event, unless it is mere progress."""
        self.follow(event)
        match event:
            case events.Waiting(holder):
                self.say(f"waiting for {holder or 'another command'}, which uses this results folder")
            case events.Planned(run_ids, finished_before, _, then):
                to_do = counted(len(run_ids), "candidate" if self.candidates else "run")
                self.say(f"{to_do} to do, {finished_before} done before{then and f'; then {then}'}")
            case events.Finished(run_id, status, metrics, seconds):
                told = f"{outcome(status, metrics, self.candidates)}, {duration(seconds)}"
                self.say(f"{self.count()} {self.name(run_id)}: {told}{self.left()}")
            case events.Failed(run_id, error):
                self.say(f"{self.count()} {self.name(run_id)}: failed: {last_line(error)}", style="red")
            case events.Retried(run_id, error):
                self.say(f"again: {self.name(run_id)}: {last_line(error)}", style="yellow")
            case events.Separated(run_ids, error):
                self.say(f"one by one: {len(run_ids)} runs that trained as one: {last_line(error)}", style="yellow")

    def follow(self, event: events.Event) -> None:
        """Know who is at work on what, and how much is over."""
        match event:
            case events.Planned(run_ids, _, role):
                self.candidates = role == "candidate"
                self.began = self.began if self.total else self.clock()
                self.total += len(run_ids)
            case events.Started(run_id, attempt, worker):
                self.at_work.setdefault(worker, Work([], attempt)).runs.append(run_id)
            case events.Progressed((first, *_) as run_ids, progress) if work := self.work(first):
                work.progress, work.training = progress, run_ids
            case events.Finished(run_id) | events.Failed(run_id):
                self.over += 1
                self.end(run_id)
            case events.Retried(run_id):
                self.end(run_id)
            case events.Separated(run_ids):
                for run_id in run_ids:
                    self.end(run_id)

    def end(self, run_id: str) -> None:
        """A run is at work no more."""
        if work := self.work(run_id):
            work.runs.remove(run_id)
            work.training = tuple(each for each in work.training if each != run_id)
        self.at_work = {worker: work for worker, work in self.at_work.items() if work.runs}

    def work(self, run_id: str) -> Work | None:
        """The work that a run is part of, if it is at work."""
        return next((work for work in self.at_work.values() if run_id in work.runs), None)

    def say(self, text: str, style: str = "") -> None:
        """One line on stderr."""
        err.print(Text.assemble((f"{self.clock():%H:%M:%S} ", "dim"), (text, style)), soft_wrap=True)

    def count(self) -> str:
        """How many runs are over, of how many: ` 3/12`."""
        return f"{self.over:>{len(str(self.total))}}/{self.total}"

    def name(self, run_id: str) -> str:
        """The run id and what it stands for."""
        return f"{run_id} {self.labels.get(run_id, '')}".rstrip()

    def share(self) -> float:
        """Runs that are over, those at work by their share."""
        return self.over + sum(work.done for work in self.at_work.values())

    def left(self) -> str:
        """`, 4 min left` if it goes on as it went so far; nothing when all is over."""
        share = self.share()
        if not share or self.over >= self.total:
            return ""
        passed = (self.clock() - self.began).total_seconds()
        return f", {duration(passed * (self.total - share) / share)} left"


class Live(Lines):
    """A bar for all runs and one for each worker at work; a run that is over becomes a line above them."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__(labels)
        self.bars = Bars(
            TitleColumn(table_column=Column(no_wrap=True, ratio=3)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            TextColumn("{task.fields[where]}", justify="right"),
            TextColumn("{task.fields[metrics]}"),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(compact=True),
            console=err,
            expand=True,
            transient=True,
        )
        self.all = self.bars.add_task("all runs", total=None, where="", metrics="")
        self.bar_of: dict[int, TaskID] = {}

    def __enter__(self) -> "Live":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def __call__(self, event: events.Event) -> None:
        """Print what `Lines` prints, above the bars, and move those."""
        super().__call__(event)
        for worker in [*self.bar_of]:
            if worker not in self.at_work:
                self.bars.remove_task(self.bar_of.pop(worker))
        for worker, work in self.at_work.items():
            if worker not in self.bar_of:
                self.bar_of[worker] = self.bars.add_task("", total=None, where="", metrics="")
            self.show(self.bar_of[worker], work)
        self.bars.update(self.all, completed=self.share(), total=self.total or None, where=self.count())

    def show(self, bar: TaskID, work: Work) -> None:
        """One bar for whatever a worker has at hand."""
        known = work.progress.total_steps > 0
        self.bars.update(
            bar,
            description=self.title(work),
            completed=work.progress.step,
            total=work.progress.total_steps or None,
            where=f"epoch {work.progress.epoch}" if known else "",
            metrics=brief(work.progress.metrics) if len(work.training) == 1 else "",
        )

    def title(self, work: Work) -> str:
        """What is at work: `dense seed 1 (attempt 2)`, `50 runs as one: dense seed 0, ...`."""
        now = work.training or work.runs
        name = self.labels.get(now[0], now[0])
        if len(now) > 1:
            return f"{len(now)} runs as one: {name}, ..."
        return f"{name} (attempt {work.attempt})" if work.attempt > 1 else name


def brief(metrics: Mapping[str, float]) -> str:
    """`loss 0.31 val 91.2 %`, of what is known: the training loss, the validation accuracy."""
    parts = []
    if (loss := known(metrics.get("train_loss"))) is not None:
        parts.append(f"loss {loss:.3g}")
    if (accuracy := known(metrics.get("val_accuracy"))) is not None:
        parts.append(f"val {accuracy:.1f} %")
    return " ".join(parts)


def outcome(status: str, metrics: Mapping[str, float | None], candidate: bool = False) -> str:
    """`test 93.12 %`, of a search's candidate `val 93.12 %`, or the status of what has no such accuracy."""
    accuracy = metrics.get("val_accuracy_best" if candidate else "test_accuracy")
    return status if accuracy is None else f"{'val' if candidate else 'test'} {percent(accuracy)} %"


def last_line(error: str) -> str:
    """The last line of a traceback: what went wrong."""
    return error.strip().splitlines()[-1] if error.strip() else "no reason given"
