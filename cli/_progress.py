"""What is seen while runs are trained: a live table on a terminal, one line per run elsewhere, or nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from petlsparse.analysis.quantities import duration, known, percent
from petlsparse.launch import events

from ._console import err
from ._options import ProgressStyle

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


class Lines:
    """One line per event that matters, for logs."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.total = self.over = 0

    def __call__(self, event: events.Event) -> None:
        """Print the event, unless it is mere progress."""
        match event:
            case events.Waiting(holder):
                self.say(f"waiting for {holder or 'another command'}, which uses this results folder")
            case events.Planned(run_ids, finished_before):
                self.total = len(run_ids)
                self.say(f"{self.total} runs to do, {finished_before} done before")
            case events.Finished(run_id, status, metrics, seconds):
                self.over += 1
                self.say(f"{self.count()} {self.name(run_id)}: {outcome(status, metrics)}, {duration(seconds)}")
            case events.Failed(run_id, error):
                self.over += 1
                self.say(f"{self.count()} {self.name(run_id)}: failed: {last_line(error)}", style="red")
            case events.Retried(run_id, error):
                self.say(f"again: {self.name(run_id)}: {last_line(error)}", style="yellow")
            case events.Separated(run_ids, error):
                self.say(f"one by one: {len(run_ids)} runs that trained as one: {last_line(error)}", style="yellow")

    def say(self, text: str, style: str = "") -> None:
        """One line on stderr."""
        err.print(Text(text, style=style), soft_wrap=True)

    def count(self) -> str:
        """How many runs are over, of how many: ` 3/12`."""
        return f"{self.over:>{len(str(self.total))}}/{self.total}"

    def name(self, run_id: str) -> str:
        """The run id and what it stands for."""
        return f"{run_id} {self.labels.get(run_id, '')}".rstrip()


@dataclass
class Work:
    """What a worker has at hand."""

    bar: TaskID
    name: str
    runs: list[str] = field(default_factory=list)
    share: float = 0.0
    """How much of it is done."""


class Live(Lines):
    """A bar for all runs and one for each worker at work; a run that is over becomes a line above them."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__(labels)
        self.bars = Progress(
            TextColumn("{task.description}", table_column=Column(overflow="ellipsis", no_wrap=True, ratio=3)),
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
        self.all = self.bars.add_task("[bold]all runs", total=None, where="", metrics="")
        self.at_work: dict[int, Work] = {}

    def __enter__(self) -> "Live":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def __call__(self, event: events.Event) -> None:
        """Move the bars, and print what `Lines` prints above them."""
        super().__call__(event)
        match event:
            case events.Started(run_id, attempt, worker):
                again = f" (attempt {attempt})" if attempt > 1 else ""
                self.begin(worker, run_id, self.labels.get(run_id, run_id) + again)
            case events.Progressed(run_id, progress) if work := self.work(run_id):
                work.share = progress.step / progress.total_steps if progress.total_steps else 0.0
                self.bars.update(
                    work.bar,
                    completed=progress.step,
                    total=progress.total_steps or None,
                    where=f"epoch {progress.epoch}",
                    metrics=brief(progress.metrics) if len(work.runs) == 1 else "",
                )
            case events.Finished(run_id) | events.Failed(run_id) | events.Retried(run_id):
                self.end(run_id)
            case events.Separated(run_ids):
                for run_id in run_ids:
                    self.end(run_id)
        self.bars.update(self.all, completed=self.share(), total=self.total or None, where=self.count())

    def begin(self, worker: int, run_id: str, name: str) -> None:
        """One bar for whatever a worker has at hand: a run, or several as one."""
        if worker not in self.at_work:
            bar = self.bars.add_task(Text(name).markup, total=None, where="", metrics="")
            self.at_work[worker] = Work(bar, name)
        work = self.at_work[worker]
        work.runs.append(run_id)
        if len(work.runs) > 1:
            self.bars.update(work.bar, description=Text(f"{len(work.runs)} runs as one: {work.name}, ...").markup)

    def end(self, run_id: str) -> None:
        """A run is at work no more; the bar goes with the last one."""
        if work := self.work(run_id):
            work.runs.remove(run_id)
        for worker in [number for number, each in self.at_work.items() if not each.runs]:
            self.bars.remove_task(self.at_work.pop(worker).bar)

    def work(self, run_id: str) -> "Work | None":
        """The work that a run is part of, if it is at work."""
        return next((work for work in self.at_work.values() if run_id in work.runs), None)

    def share(self) -> float:
        """Runs that are over, those at work by their share."""
        return self.over + sum(work.share * len(work.runs) for work in self.at_work.values())


def brief(metrics: Mapping[str, float]) -> str:
    """`loss 0.31 val 91.2 %`, of what is known: the training loss, the validation accuracy."""
    parts = []
    if (loss := known(metrics.get("train_loss"))) is not None:
        parts.append(f"loss {loss:.3g}")
    if (accuracy := known(metrics.get("val_accuracy"))) is not None:
        parts.append(f"val {accuracy:.1f} %")
    return " ".join(parts)


def outcome(status: str, metrics: Mapping[str, float | None]) -> str:
    """`test 93.12 %`, or the status of what has no test accuracy."""
    accuracy = metrics.get("test_accuracy")
    return status if accuracy is None else f"test {percent(accuracy)} %"


def last_line(error: str) -> str:
    """The last line of a traceback: what went wrong."""
    return error.strip().splitlines()[-1] if error.strip() else "no reason given"
