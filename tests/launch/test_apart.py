"""Data and models are looked at in a process of their own, which finds what would be found here."""

import sys
from typing import Any

import psutil
import pytest

from petlsparse.errors import UserError
from petlsparse.launch import local
from petlsparse.launch.apart import examined_apart
from petlsparse.launch.launcher import WorkerDied
from petlsparse.launch.messages import dump_answer, dump_question, load_findings, load_request
from petlsparse.recipe.schema import Run
from petlsparse.studies import examined
from tests.studies.settings import ADAPTED, SPARSE, make

RUNS: dict[str, Run] = {
    "sparse": make(SPARSE),
    "too sparse": make(SPARSE, method={**SPARSE["method"], "density": 1e-9}),
    "adapted": make(ADAPTED),
    "of other data": make(SPARSE, data={"name": "folder:caf\udce9"}),
}


def test_findings_arrive_as_they_were_found() -> None:
    request: Any = load_request(dump_question(RUNS, "cpu"))
    found, expected = load_findings(dump_answer(request.answered)), examined(RUNS, "cpu")
    assert found.fingerprints == expected.fingerprints
    assert {run_id: tuple(problems) for run_id, problems in found.problems.items()} == {
        run_id: tuple(problems) for run_id, problems in expected.problems.items()
    }
    assert [run_id for run_id, problems in found.problems.items() if problems] == ["too sparse", "of other data"]
    assert (tuple(found.data), tuple(found.remarks)) == (tuple(expected.data), tuple(expected.remarks))


def answer_with(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-S", "-c", f"import os, sys; {program}"))


def test_a_process_that_is_killed_is_a_message_of_what_could_not_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, "os.kill(os.getpid(), 9)")
    with pytest.raises(UserError, match=r"data and models cannot be looked at: .* killed by SIGKILL: out of memory"):
        examined_apart(RUNS, "cpu")
    assert psutil.Process().children() == []


def test_an_error_in_the_code_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, 'sys.stdin.readline(); print(\'{"error": "Traceback: on purpose"}\', flush=True)')
    with pytest.raises(WorkerDied, match="Traceback: on purpose"):
        examined_apart(RUNS, "cpu")
    assert psutil.Process().children() == []
