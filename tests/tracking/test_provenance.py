import re
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from petlsparse.tracking import provenance
from petlsparse.tracking.tables import PROVENANCE_COLUMNS


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.check_output(["git", "-C", str(folder), *identity, *arguments], text=True).strip()


def test_commit_and_changes_of_tracked_files_are_noted(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    (tmp_path / "untracked").touch()
    clean = provenance.of_command(tmp_path)
    assert (clean["git_sha"], clean["git_dirty"]) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("two")
    assert provenance.of_command(tmp_path)["git_dirty"] is True


def test_without_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    facts = provenance.of_command(tmp_path)
    assert facts["git_sha"] is None
    assert facts["git_dirty"] is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.of_command(tmp_path)["git_sha"] is None


def test_every_fact_is_a_documented_column_and_the_host_is_hashed() -> None:
    facts = provenance.of_command() | provenance.of_worker("cpu", 1)
    assert facts.keys() <= {column.name for column in PROVENANCE_COLUMNS}
    assert re.fullmatch("[0-9a-f]{12}", facts["host"])
    assert socket.gethostname() not in facts["host"]
    assert facts["threads"] == 1
    assert re.match(r"\d+\.\d+", facts["torch_version"])


def test_times_are_utc() -> None:
    then = datetime.fromisoformat(provenance.utc_now())
    assert then.tzinfo == UTC
    assert abs((datetime.now(UTC) - then).total_seconds()) < 60


def test_the_driver_is_found_in_what_the_kernel_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder)\nGCC 13\n"
    file = tmp_path / "version"
    file.write_text(said)
    monkeypatch.setattr(provenance, "DRIVER_VERSION", file)
    assert provenance._driver() == "580.95.05"
    file.unlink()
    assert provenance._driver() is None


def test_a_gpu_in_trouble_does_not_hide_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> str:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr("torch.cuda.get_device_name", broken)
    facts = provenance.of_worker("cuda:0", 1)
    assert (facts["device"], facts["threads"]) == ("cuda:0", 1)
    assert facts.get("device_name") is None
