"""Streams that nobody reads, that are full or closed, or that cannot show what is printed: nothing ends by that."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from petlsparse._cli import _console
from petlsparse._cli import app as application
from petlsparse._cli._options import ProgressStyle
from petlsparse._cli._progress import shown
from petlsparse._cli._streams import steady_streams
from petlsparse.launch.events import Failed, Finished, Planned, Started
from tests.cli.conftest import Cli


class Broken(io.TextIOBase):
    """Nothing can be written to it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def isatty(self) -> bool:
        return True


def shell(line: str, **environment: str) -> tuple[int, bytes]:
    """Exit code and stdout of a line in which $P is the program."""
    program = f"{sys.executable} -c 'from petlsparse._cli import main; main()'"
    script = f'petlsparse() {{ {program} "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", script], env=os.environ | environment, capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("style", [ProgressStyle.plain, ProgressStyle.rich])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_progress_that_cannot_be_shown_is_dropped(
    style: ProgressStyle, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(number))
    with steady_streams() as (_, err), shown(style, {}) as listener:
        listener(Planned(("a", "b"), 0))
        listener(Started("a", 1, 0))
        listener(Finished("a", "done", {}, 1.0))
        listener(Failed("b", "reason"))
        assert err.error is not None
        assert err.error.errno == number


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("petlsparse recipes ls nosuch 2>/dev/full", 2),
        ("petlsparse recipes ls nosuch 2>&-", 2),
        ("petlsparse recipes ls > /dev/full", 2),  # the table was asked for, and is nowhere
        ("petlsparse recipes ls >&-", 0),
        ("petlsparse recipes ls <&-", 0),
        ("petlsparse recipes ls | true; exit ${PIPESTATUS[0]}", 0),
    ],
)
def test_the_exit_code_tells_of_lost_results_only(line: str, code: int) -> None:
    assert shell(line)[0] == code


def test_a_full_disk_is_one_message(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(application, "app", fail)
    assert cli("recipes", "ls") == (2, "", "error: No space left on device\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment_ends_a_command_quietly(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr(application, "app", lambda: signal.raise_signal(number))
    assert cli("recipes", "ls") == (128 + number, "", "")
    assert signal.getsignal(number) is before


def test_a_stream_without_our_characters_shows_others(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with steady_streams():
        _console.out.print(_console.grid(["a", "n"], [("50.1 ± 0.2 %", 1), ("→ \udcff", 22)], right=["n"]))
        _console.write("3 × 4 – 5…\n")
    *table, last = written.getvalue().splitlines()
    assert last == b"3 x 4 - 5..."
    assert b"|50.1 +/- 0.2 % | 1|" in table
    assert len({len(line) for line in table}) == 1


def test_json_stays_json_whatever_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"path": "/data/\udcff", "text": "±"}
    for encoding in ("ascii", "utf-8"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        with steady_streams():
            _console.print_json(value)
        assert json.loads(written.getvalue().decode(encoding)) == value


def test_a_file_name_that_is_no_text_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    with steady_streams():
        _console.out.print("results in a\udcffb", soft_wrap=True)
    assert written.getvalue() == b"results in a\xffb\n"


@pytest.mark.parametrize("columns", ["0", "abc", "-3"])
def test_a_width_that_is_none_counts_for_nothing(columns: str) -> None:
    assert shell("petlsparse recipes ls", COLUMNS=columns) == shell("unset COLUMNS; petlsparse recipes ls")


def test_forced_colours_do_not_make_a_file_a_terminal() -> None:
    code, out = shell("petlsparse recipes ls; petlsparse plan nosuch 2>&1", FORCE_COLOR="1")
    assert code == 2
    assert b"\x1b[1m" in out
    assert b"\x1b[?25l" not in out  # no cursor is hidden


def test_a_working_directory_that_is_gone_is_one_message(tmp_path: Path) -> None:
    code, out = shell(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; petlsparse data ls 2>&1")
    assert (code, out) == (2, b"error: the working directory does not exist any more\n")


def test_an_unknown_home_is_a_file_that_is_not_there(cli: Cli) -> None:
    answer = cli("plan", "~nosuchuser/x.toml")
    assert answer.code == 2
    assert answer.err.startswith("error: no such recipe file\n  value: ~nosuchuser/x.toml\n")
