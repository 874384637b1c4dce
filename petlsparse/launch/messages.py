"""What goes to a worker process and comes back, as lines of JSON: a launcher can carry them by pipe or file.

Jobs and their outcomes; or a question, what `studies.check_runs` says of some runs, and its findings.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from petlsparse.errors import Problem, UserError
from petlsparse.launch.job import Job, Outcome, Outcomes
from petlsparse.launch.launcher import WorkerDied
from petlsparse.recipe.schema import Run, validate_run
from petlsparse.studies import Findings, examined


@dataclass(frozen=True)
class Question:
    """Whether runs can be trained, and what they would rest on."""

    runs: dict[str, dict[str, Any]]
    """Run id -> settings."""
    device: str | None
    """As workers are to have it."""

    def answered(self) -> Findings:
        """Loads torch, data and models."""
        return examined({run_id: validate_run(settings) for run_id, settings in self.runs.items()}, self.device)


@dataclass(frozen=True)
class Answer:
    """Outcomes by run id, or findings, or a user's problems, or the traceback of an error that no run answers for."""

    outcomes: dict[str, Outcome] | None = None
    findings: Findings | None = None
    problems: tuple[Problem, ...] = ()
    error: str = ""


REQUEST, ANSWER = TypeAdapter(list[Job] | Question), TypeAdapter(Answer)


def dump_jobs(jobs: Sequence[Job]) -> bytes:
    """One line for `load_request`."""
    return _line(REQUEST, list(jobs))


def dump_question(runs: Mapping[str, Run], device: str | None) -> bytes:
    """One line for `load_request`."""
    return _line(REQUEST, Question({run_id: run.settings() for run_id, run in runs.items()}, device))


def load_request(line: bytes) -> list[Job] | Question:
    """The jobs, or the question, of a line."""
    return REQUEST.validate_python(json.loads(line))


def dump_answer(execute: Callable[[], Outcomes | Findings]) -> bytes:
    """One line for `load_answer` or `load_findings`: what `execute` returns or raises."""
    try:
        found = execute()
        answer = Answer(findings=found) if isinstance(found, Findings) else Answer(dict(found))
    except UserError as error:
        answer = Answer(problems=error.problems)
    except Exception:  # noqa: BLE001 - the command decides what becomes of the other runs
        answer = Answer(error=traceback.format_exc())
    return _line(ANSWER, answer)


def load_answer(line: bytes) -> Outcomes:
    """The outcomes of a line. Raises UserError, or WorkerDied for an error that is not transient."""
    outcomes = _sound(line).outcomes
    assert outcomes is not None
    return outcomes


def load_findings(line: bytes) -> Findings:
    """The findings of a line. Raises as `load_answer` does."""
    findings = _sound(line).findings
    assert findings is not None
    return findings


def _sound(line: bytes) -> Answer:
    answer = ANSWER.validate_python(json.loads(line))
    if answer.problems:
        raise UserError(*answer.problems)
    if answer.error:
        raise WorkerDied(answer.error, transient=False)
    return answer


def _line(kind: TypeAdapter[Any], content: object) -> bytes:
    # json, not pydantic, writes the text: it spells what is no UTF-8 in a file's name, and knows NaN.
    return json.dumps(kind.dump_python(content, mode="json")).encode() + b"\n"
