"""The folder of shared tensors: computed once, never torn, never too large, taken from nobody who uses them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import pytest
import torch

from petlsparse.studies.tensor_cache import CachedTensor, CacheFull, TensorCache

ROW = (3, 4)
BYTES = 10 * 12 * 4 + 4
"""Of one entry below: tensor and checksum."""


def entry(name: str, dtype: torch.dtype = torch.float32) -> CachedTensor:
    return CachedTensor(name, (10, *ROW), dtype)


def content(name: str) -> torch.Tensor:
    """What the entry of that name should hold."""
    return torch.arange(120).view(10, *ROW) * 0.5 + ord(name[0])


class Filler:
    """Writes what entries should hold, and counts."""

    def __init__(self) -> None:
        self.filled: list[str] = []

    def __call__(self, files: Mapping[CachedTensor, IO[bytes]]) -> None:
        for wanted, file in files.items():
            self.filled.append(wanted.name)
            file.write(content(wanted.name).to(wanted.dtype).view(torch.uint8).numpy().data)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[int], TensorCache]:
    """A cache of so many entries."""
    return lambda entries: TensorCache(tmp_path / "cache", entries * BYTES)


def test_only_what_is_missing_is_computed(make: Callable[[int], TensorCache]) -> None:
    cache, fill = make(9), Filler()
    first = cache.take("g", [entry("a"), entry("b")], fill)
    second = cache.take("g", [entry("b"), entry("c")], fill)
    assert fill.filled == ["a", "b", "c"]
    for taken in (first, second):
        assert all(torch.equal(tensor, content(of.name)) for of, tensor in taken.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_come_back_as_they_were_written(dtype: torch.dtype, make: Callable[[int], TensorCache]) -> None:
    wanted = entry("a", dtype)
    (tensor,) = make(9).take("g", [wanted], Filler()).values()
    assert tensor.dtype == dtype
    assert torch.equal(tensor, content("a").to(dtype))


@pytest.mark.parametrize("byte", [0, 301, BYTES - 5, BYTES - 1])  # of the tensor, and of the checksum
def test_a_flipped_bit_is_noticed_told_and_what_was_there_computed_again(byte: int, tmp_path: Path) -> None:
    told: list[str] = []
    cache, fill = TensorCache(tmp_path, 2 * BYTES, told.append), Filler()
    cache.take("g", [entry("a"), entry("b")], fill)
    content_on_disk = bytearray((tmp_path / "b").read_bytes())
    content_on_disk[byte] ^= 4
    (tmp_path / "b").write_bytes(content_on_disk)
    for _ in range(2):
        taken = cache.take("g", [entry("a"), entry("b")], fill)
        assert all(torch.equal(tensor, content(of.name)) for of, tensor in taken.items())
        assert fill.filled == ["a", "b", "b"]
        assert told == [f"a file of kept values was damaged, they are computed again: {tmp_path / 'b'}"]


def test_a_file_of_another_length_is_none(tmp_path: Path) -> None:
    """As those that were written before there were checksums."""
    told: list[str] = []
    cache, fill = TensorCache(tmp_path, 9 * BYTES, told.append), Filler()
    (tmp_path / "a").write_bytes(bytes(BYTES - 4))
    assert torch.equal(cache.take("g", [entry("a")], fill)[entry("a")], content("a"))
    assert told == []


def test_an_empty_tensor_needs_room_for_its_checksum_alone(tmp_path: Path) -> None:
    (tensor,) = (
        TensorCache(tmp_path / "cache", 4)
        .take("g", [CachedTensor("none", (0, *ROW), torch.float32)], Filler())
        .values()
    )
    assert tensor.shape == (0, *ROW)


def test_what_one_does_to_its_tensor_nobody_else_sees(make: Callable[[int], TensorCache]) -> None:
    mine, theirs = (make(9).take("g", [entry("a")], Filler())[entry("a")] for _ in range(2))
    mine.zero_()
    assert torch.equal(theirs, content("a"))
    assert torch.equal(make(9).take("g", [entry("a")], Filler())[entry("a")], content("a"))


def test_the_folder_never_takes_more_than_its_limit_and_the_least_recently_used_go_first(
    make: Callable[[int], TensorCache],
) -> None:
    cache, fill = make(3), Filler()
    for name in ("a", "b", "c", "a", "d"):
        cache.take("g", [entry(name)], fill)
        assert sum((cache.folder / name).stat().st_size for name in names(cache.folder)) <= cache.limit
    assert names(cache.folder) == {"a", "c", "d"}


def test_what_is_in_use_stays_and_the_newcomer_is_told(make: Callable[[int], TensorCache]) -> None:
    cache, fill = make(2), Filler()
    held = cache.take("g", [entry("a"), entry("b")], fill)
    with pytest.raises(CacheFull, match=r"needs 484 B more, runs at work use 968 B of 968 B"):
        cache.take("g", [entry("c")], fill)
    assert names(cache.folder) == {"a", "b"}
    del held
    assert torch.equal(cache.take("g", [entry("c")], fill)[entry("c")], content("c"))
    assert len(names(cache.folder)) == 2


def test_what_others_use_is_told_without_what_nobody_uses(make: Callable[[int], TensorCache]) -> None:
    cache, fill = make(3), Filler()
    cache.take("g", [entry("c")], fill)
    held = cache.take("g", [entry("a"), entry("b")], fill)
    with pytest.raises(CacheFull, match=r"needs 968 B more, runs at work use 968 B of 1\.4 KiB"):
        cache.take("g", [entry("d"), entry("e")], fill)
    assert names(cache.folder) == {"a", "b", "c"}
    del held


def test_what_can_never_fit_removes_nothing(make: Callable[[int], TensorCache]) -> None:
    cache, fill = make(2), Filler()
    cache.take("g", [entry("a")], fill)
    with pytest.raises(CacheFull, match=r"needs 1\.4 KiB, --cache-memory allows 968 B"):
        cache.take("g", [entry("b"), entry("c"), entry("d")], fill)
    assert names(cache.folder) == {"a"}


def test_a_writer_that_fails_leaves_nothing(make: Callable[[int], TensorCache]) -> None:
    cache = make(9)

    def half(files: Mapping[CachedTensor, IO[bytes]]) -> None:
        Filler()({of: file for of, file in files.items() if of.name == "a"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.take("g", [entry("a"), entry("b")], half)
    assert names(cache.folder) == set()


def test_a_disk_that_refuses_is_a_reason_to_do_without(make: Callable[[int], TensorCache]) -> None:
    def full(files: Mapping[CachedTensor, IO[bytes]]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(CacheFull, match="cannot be written: No space left on device"):
        make(9).take("g", [entry("a")], full)


# -- several processes


def fill_slowly(folder: Path, tell: Path) -> None:
    def slow(files: Mapping[CachedTensor, IO[bytes]]) -> None:
        with tell.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        Filler()(files)

    taken = TensorCache(folder, 9 * BYTES).take("g", [entry("a"), entry("b")], slow)
    assert all(torch.equal(tensor, content(of.name)) for of, tensor in taken.items())


def fill_for_ever(folder: Path, tell: Path) -> None:
    def stuck(files: Mapping[CachedTensor, IO[bytes]]) -> None:
        Filler()(files)
        tell.touch()
        time.sleep(600)

    TensorCache(folder, 9 * BYTES).take("g", [entry("a"), entry("b")], stuck)


def started(target: Callable[..., None], *arguments: Path) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process  # type: ignore[return-value]


def joined(processes: Iterable[multiprocessing.Process]) -> list[int | None]:
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_of_processes_that_need_the_same_one_computes_and_the_others_wait(tmp_path: Path) -> None:
    workers = [started(fill_slowly, tmp_path / "cache", tmp_path / "told") for _ in range(2)]
    assert joined(workers) == [0, 0]
    assert len((tmp_path / "told").read_text().splitlines()) == 1


def test_what_a_killed_writer_leaves_is_never_trusted_and_gives_way(tmp_path: Path) -> None:
    folder, told = tmp_path / "cache", tmp_path / "told"
    writer = started(fill_for_ever, folder, told)
    while not told.exists():
        assert writer.is_alive()
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGKILL)
    assert joined([writer]) == [-signal.SIGKILL]
    assert len(names(folder)) == 2  # complete in content, but under temporary names
    fill = Filler()
    taken = TensorCache(folder, 2 * BYTES).take("g", [entry("a"), entry("b")], fill)  # room for these two alone
    assert fill.filled == ["a", "b"]
    assert all(torch.equal(tensor, content(of.name)) for of, tensor in taken.items())
    assert names(folder) == {"a", "b"}


def test_a_full_disk_is_told_before_anything_is_mapped(
    make: Callable[[int], TensorCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    cache = make(9)
    with pytest.raises(CacheFull, match="cannot be written: No space left on device"):
        cache.take("g", [entry("a")], lambda _: pytest.fail("computed in vain"))
    assert names(cache.folder) == set()
