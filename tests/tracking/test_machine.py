"""Memory that is left, as a container sees it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from petlsparse.tracking import machine
from petlsparse.tracking.machine import available_memory


@pytest.mark.parametrize(("text", "expected"), [("1000\n", 1000), ("max\n", 5000), (None, 5000), ("9000\n", 5000)])
def test_a_containers_limit_counts_as_all_the_memory_there_is(
    text: str | None, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = tmp_path / "memory.max"
    if text is not None:
        limit.write_text(text)
    monkeypatch.setattr(machine, "CONTAINER_LIMIT", limit)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    assert available_memory() == expected
