"""Accounts without a home."""

from pathlib import Path

import pytest

from petlsparse.homes import cache_home, expanded, home


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


def test_the_cache_is_the_users_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLSPARSE_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_home() == Path("/a")
    monkeypatch.delenv("PETLSPARSE_CACHE")
    assert cache_home() == Path("/b/petlsparse")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_home() == Path("/home/me/.cache/petlsparse")
    monkeypatch.setenv("PETLSPARSE_CACHE", "~/kept")
    assert cache_home() == Path("/home/me/kept")
