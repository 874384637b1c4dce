"""Memory and CPU time that are left, as a container sees them: groups as the kernel documents both versions."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from petlsparse.tracking import cgroups, machine
from petlsparse.tracking.cgroups import cpu_quota
from petlsparse.tracking.machine import available_memory

Groups = Callable[[str, dict[str, str]], None]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Groups:
    """Lays out the text of /proc/self/cgroup and files below /sys/fs/cgroup, on a machine that has 5000 bytes left."""

    def lay_out(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fs" / name).write_text(text)

    monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path / "fs")
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    return lay_out


V1 = "12:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n"
MEMORY: dict[str, tuple[str, dict[str, str], int]] = {
    "no groups": ("", {}, 5000),
    "no limit": ("0::/\n", {"memory.max": "max\n", "memory.current": "7"}, 5000),
    "what is left": ("0::/\n", {"memory.max": "1000\n", "memory.current": "300\n"}, 700),
    "more than the machine has": ("0::/\n", {"memory.max": "9000\n", "memory.current": "300\n"}, 5000),
    "pages of files": (
        "0::/\n",
        {"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 200\ninactive_file 600\nfile 700\n"},
        700,
    ),
    "used up": ("0::/\n", {"memory.max": "1000", "memory.current": "1100"}, 0),
    "a group above": (
        "0::/a/b\n",
        {"a/b/memory.max": "max", "a/memory.max": "1000", "a/memory.current": "400", "memory.stat": "x"},
        600,
    ),
    "the nearest of two": (
        "0::/a/b\n",
        {"a/b/memory.max": "500", "a/b/memory.current": "0", "a/memory.max": "900", "a/memory.current": "600"},
        300,
    ),
    "a path that the container does not show": ("0::/x\n", {"memory.max": "1000", "memory.current": "1"}, 999),
    "version 1": (
        V1,
        {
            "memory/docker/a/memory.limit_in_bytes": "1000",
            "memory/docker/a/memory.usage_in_bytes": "800",
            "memory/docker/a/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
        500,
    ),
}


@pytest.mark.parametrize(("own", "files", "expected"), MEMORY.values(), ids=MEMORY.keys())
def test_what_is_left_of_a_containers_limit_counts_as_all_the_memory_there_is(
    own: str, files: dict[str, str], expected: int, groups: Groups
) -> None:
    groups(own, files)
    assert available_memory() == expected


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, None),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        (V1, {"cpu/docker/a/cpu.cfs_quota_us": "300000", "cpu/docker/a/cpu.cfs_period_us": "100000"}, 3.0),
        (V1, {"cpu/docker/a/cpu.cfs_quota_us": "-1", "cpu/docker/a/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_cpu_time_a_container_has(own: str, files: dict[str, str], expected: float | None, groups: Groups) -> None:
    groups(own, files)
    assert cpu_quota() == expected
