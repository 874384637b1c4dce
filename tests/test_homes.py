"""Accounts without a home."""

from pathlib import Path

import pytest

from petlsparse.homes import expanded, home


def test_a_home_that_does_not_exist_leaves_the_path_as_it_stands() -> None:
    assert expanded("~nosuchuser/x.toml") == Path("~nosuchuser/x.toml")


def test_without_a_home_there_is_a_folder_of_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path
    assert expanded("~/x") == tmp_path / "x"
    monkeypatch.setattr(Path, "home", fail)
    assert home().parent.is_dir()
    assert home() == home()
