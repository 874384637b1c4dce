"""What goes to a worker process and comes back, as lines of JSON: a launcher can carry them by pipe or file."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from petlsparse.errors import Problem, UserError
from petlsparse.launch.job import Job, Outcome, Outcomes
from petlsparse.launch.launcher import WorkerDied


@dataclass(frozen=True)
class Answer:
    """Outcomes by run id, or a user's problems, or the traceback of an error that no run has to answer for."""

    outcomes: dict[str, Outcome] | None = None
    problems: tuple[Problem, ...] = ()
    error: str = ""


JOBS, ANSWER = TypeAdapter(list[Job]), TypeAdapter(Answer)


def dump_jobs(jobs: Sequence[Job]) -> bytes:
    """One line for `load_jobs`."""
    return _line(JOBS, list(jobs))


def load_jobs(line: bytes) -> list[Job]:
    """The jobs of a line."""
    return JOBS.validate_python(json.loads(line))


def dump_answer(execute: Callable[[], Outcomes]) -> bytes:
    """One line for `load_answer`: what `execute` returns or raises."""
    try:
        answer = Answer(dict(execute()))
    except UserError as error:
        answer = Answer(problems=error.problems)
    except Exception:  # noqa: BLE001 - the command decides what becomes of the other runs
        answer = Answer(error=traceback.format_exc())
    return _line(ANSWER, answer)


def load_answer(line: bytes) -> Outcomes:
    """The outcomes of a line. Raises UserError, or WorkerDied for an error that is not transient."""
    answer = ANSWER.validate_python(json.loads(line))
    if answer.problems:
        raise UserError(*answer.problems)
    if answer.outcomes is None:
        raise WorkerDied(answer.error, transient=False)
    return answer.outcomes


def _line(kind: TypeAdapter[Any], content: object) -> bytes:
    # json, not pydantic, writes the text: it spells what is no UTF-8 in a file's name, and knows NaN.
    return json.dumps(kind.dump_python(content, mode="json")).encode() + b"\n"
