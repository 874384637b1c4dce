import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from petlsparse.tracking.atomic import TEMPORARY, replacing, write_bytes, write_json


def test_content_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    write_bytes(path, b"new", durable=False)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_writer_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_that_is_not_json_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_writer_killed_at_any_moment_leaves_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import itertools, pathlib, sys\n"
        "from petlsparse.tracking.atomic import write_bytes\n"
        "for i in itertools.count():\n"
        "    write_bytes(pathlib.Path(sys.argv[1]), bytes([i % 256]) * 300_000)\n"
    )
    for moment in (0.0, 0.003, 0.007, 0.012):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
        while not path.exists():
            time.sleep(0.001)
        time.sleep(moment)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
    assert {*tmp_path.iterdir()} == {path, *tmp_path.glob(TEMPORARY)}


def test_a_file_name_that_is_no_text_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"path": "/data/\udcff", "text": "±"}
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value
