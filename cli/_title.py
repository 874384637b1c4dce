"""What a bar is about, in as much room as there is."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import ProgressColumn, Task
from rich.text import Text

LEAST = 12
"""Characters that a title can do with."""


@dataclass(frozen=True)
class Title:
    """Text that gives up its middle where there is no room: its end says which seed it is."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shortened(self.text, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(LEAST, len(self.text)), len(self.text)).clamp(max_width=options.max_width)


def shortened(text: str, room: int) -> str:
    """The text, or its beginning and its last two words, `dst magnit… seed 3`, in no more than `room` characters."""
    if len(text) <= room:
        return text
    end = " ".join(text.split()[-2:])
    if len(end) + 3 > room:  # no room for a beginning
        return f"…{text[len(text) - room + 1 :]}" if room > 1 else "…"[:room]
    return f"{text[: room - len(end) - 2].rstrip()}… {end}"


class TitleColumn(ProgressColumn):
    """The description of a task as a title."""

    def render(self, task: Task) -> Title:
        """The title of one task."""
        return Title(task.description)
