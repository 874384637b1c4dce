"""A bar's title keeps its seed in any width."""

import io

import pytest
from rich.console import Console

from petlsparse._cli import _progress
from petlsparse._cli._title import shortened
from petlsparse.launch import events
from petlsparse.tracking.progress import Progress

TITLE = "folder:toy dst reciprocal-sensitivity/gradient d=0.05 seed 12"


@pytest.mark.parametrize("room", range(1, 80))
def test_a_title_takes_the_room_it_has_and_keeps_its_seed(room: int) -> None:
    short = shortened(TITLE, room)
    assert len(short) == min(room, len(TITLE)) or short.endswith("seed 12")
    assert len(short) <= room
    assert room < 8 or short.endswith("seed 12")


@pytest.mark.parametrize("width", [80, 120])
def test_bars_keep_the_seed(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "err", Console(width=width, file=io.StringIO()))
    live = _progress.Live({"a" * 12: TITLE})
    live(events.Planned(("a" * 12,), 0))
    live(events.Started("a" * 12, 1, 0))
    live(events.Progressed(("a" * 12,), Progress(55, 550, 3, {"train_loss": 0.312, "val_accuracy": 71.2})))
    page = Console(width=width, file=io.StringIO(), record=True)
    page.print(live.bars)
    lines = page.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert any("seed 12" in line and "val 71.2 %" in line for line in lines)
