"""The cache lives as long as the command, and takes no more than its share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from petlsparse.launch import cache
from petlsparse.launch.cache import cache_limit, shared_cache
from tests.launch.fake_studies import Trouble
from tests.launch.fakes import Executed, fake_run


def test_the_folder_starts_without_what_a_killed_command_left_and_is_gone_at_the_end(tmp_path: Path) -> None:
    left = tmp_path / "cache" / "values"
    left.parent.mkdir()
    left.touch()
    with shared_cache(tmp_path) as (folder, _):
        assert not left.exists()
        folder.mkdir()
        (folder / "values").touch()
    assert not folder.exists()


def test_the_folder_is_gone_when_the_command_ends_badly(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()

    def fail() -> None:
        with shared_cache(tmp_path) as (folder, _):
            folder.mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "cache").exists()


def test_the_folder_does_not_move_with_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("store").mkdir()
    with shared_cache(Path("store")) as (folder, _):
        assert folder == tmp_path / "store" / "cache"


@pytest.mark.parametrize(
    ("wanted", "memory", "disk", "expected"),
    [
        (None, 100, 1000, 50),  # half of the memory
        (None, 100, 80, 40),  # half of the disk
        (70, 100, 1000, 70),
        (170, 100, 1000, 170),  # whoever asks for more than there is gets it from the disk
        (70, 100, 80, 40),
        (0, 100, 1000, 0),
    ],
)
def test_the_limit_is_what_was_asked_for_or_half_of_the_memory_and_never_more_than_half_of_the_disk(
    wanted: int | None, memory: int, disk: int, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache, "available_memory", lambda: memory)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=disk))
    assert cache_limit(tmp_path, wanted) == expected


def test_an_executed_plan_leaves_no_cache_whatever_becomes_of_its_runs(tmp_path: Path) -> None:
    (tmp_path / "store" / "cache").mkdir(parents=True)
    executed = Executed([fake_run(1), fake_run(2, Trouble.RAISE)], tmp_path / "store", workers=0)
    assert executed.statuses == ["done", "failed"]
    assert not (tmp_path / "store" / "cache").exists()
