import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from petlsparse.errors import UserError
from petlsparse.tracking.lock import Holder
from petlsparse.tracking.store import Store

HOLD = (
    "import pathlib, sys, time\n"
    "from petlsparse.tracking.store import Store\n"
    "with Store(pathlib.Path(sys.argv[1])).lock():\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.readline()\n"
)


@pytest.fixture
def other_command(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the store until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_command_says_who_holds_the_store(store: Store, other_command: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError) as caught, store.lock(wait=0):
        pytest.fail("two commands hold the store")
    assert f"in use by process {other_command.pid} on {socket.gethostname()} since 20" in str(caught.value)
    assert f"({'-c'} {store.path})" in str(caught.value)
    assert "delete" not in str(caught.value)


def test_the_second_command_waits_for_the_first(store: Store, other_command: subprocess.Popen[str]) -> None:
    waited_for: list[Holder | None] = []

    def on_wait(holder: Holder | None) -> None:
        waited_for.append(holder)
        assert other_command.stdin is not None
        other_command.stdin.close()

    with store.lock(on_wait=on_wait):
        other_command.wait(timeout=10)
    assert [holder.pid for holder in waited_for if holder] == [other_command.pid]


def test_a_killed_command_holds_nothing(store: Store, other_command: subprocess.Popen[str]) -> None:
    os.kill(other_command.pid, signal.SIGKILL)
    other_command.wait()
    assert (store.path / ".holder.json").exists()  # what it left says nothing
    with store.lock(wait=5):
        holder = json.loads((store.path / ".holder.json").read_text())
        assert holder["pid"] == os.getpid()
    assert not (store.path / ".holder.json").exists()


@pytest.mark.parametrize(
    "introduction", ["", '{"pid": 0}', '{"pid": 2147483647, "host": "HERE", "command": "x", "since": "y"}']
)
def test_a_holder_that_is_gone_or_unknown_can_be_dealt_with(
    store: Store, other_command: subprocess.Popen[str], introduction: str
) -> None:
    (store.path / ".holder.json").write_text(introduction.replace("HERE", socket.gethostname()))
    with pytest.raises(UserError, match="if nothing uses it any more, delete"), store.lock(wait=0):
        pytest.fail("two commands hold the store")


def test_a_holder_on_another_host_is_believed(store: Store, other_command: subprocess.Popen[str]) -> None:
    holder = Holder(2147483647, "elsewhere", "petlsparse dst-sweep x", "2026-01-01T00:00:00.000+00:00")
    assert not holder.gone
    (store.path / ".holder.json").write_text(json.dumps(holder.__dict__))
    with pytest.raises(UserError, match="on elsewhere since 2026") as caught, store.lock(wait=0):
        pytest.fail("two commands hold the store")
    assert "delete" not in str(caught.value)


def test_one_process_at_a_time_writes_a_run(store: Store, tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from petlsparse.tracking.store import Store\n"
        "with Store(pathlib.Path(sys.argv[1])).run_lock('dddddddddddd') as folder:\n"
        "    assert not (folder / 'inside').exists()\n"
        "    (folder / 'inside').touch()\n"
        "    time.sleep(0.3)\n"
        "    (folder / 'inside').unlink()\n"
    )
    # Each has at least one other to wait for: they start within a fraction of the time that one is inside.
    writers = [subprocess.Popen([sys.executable, "-c", script, str(store.path)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]


def test_a_folder_that_cannot_be_locked_is_a_user_error(store: Store) -> None:
    (store.path / ".lock").mkdir()
    with pytest.raises(UserError, match=r"\.lock: cannot lock the results folder"), store.lock(wait=0):
        pytest.fail("the lock is a folder")


def test_a_holder_that_cannot_introduce_itself_works_all_the_same(store: Store) -> None:
    (store.path / ".holder.json" / "full").mkdir(parents=True)
    with store.lock(wait=0):
        assert (store.path / ".holder.json" / "full").exists()
