"""Names lead to functions, those of the package and those in files of the user's."""

from __future__ import annotations

from pathlib import Path

from petlsparse.registry import resolve, source_fingerprint


def test_a_function_in_a_file_is_the_one_that_stands_there_now(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    name = f"{file}:score"
    file.write_text("def score(): return 1\n")
    first, before = resolve({}, name, "criterion"), source_fingerprint([name])
    assert first() == 1
    assert resolve({}, name, "criterion") is first  # so that criteria of several runs are equal
    file.write_text("def score(): return 2\n")
    assert resolve({}, name, "criterion")() == 2
    assert source_fingerprint([name]) != before


def test_equal_content_at_another_path_has_the_same_fingerprint(tmp_path: Path) -> None:
    names = []
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("def score(): return 1\n")
        names.append(f"{tmp_path / folder / 'mine.py'}:score")
    assert source_fingerprint(names[:1]) == source_fingerprint(names[1:])
