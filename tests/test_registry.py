"""Names lead to functions, those of the package and those in files of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from petlsparse.errors import UserError
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


MINE = """
from functools import partial
from math import sqrt

from petlsparse.sparsity.criteria import Criterion

EPS = 1e-8
def taylor(active): ...
@partial(Criterion, reads_gradient=True)
def taylor2(active): ...
def _shared(): ...
"""


def test_a_function_that_a_file_has_not_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    with pytest.raises(UserError) as raised:
        resolve({}, f"{file}:taylr2", "criterion")
    (problem,) = raised.value.problems
    assert problem.message == f'"{file}" has no criterion "taylr2"'
    assert (problem.nearest, problem.valid) == (f"{file}:taylor2", (f"{file}:taylor", f"{file}:taylor2"))
