"""Jobs and answers arrive as they were sent, whatever is in them."""

import math
from pathlib import Path
from typing import Any

import pytest

from petlsparse.errors import Problem, UserError
from petlsparse.launch.job import Job, Outcome
from petlsparse.launch.launcher import WorkerDied
from petlsparse.launch.messages import dump_answer, dump_jobs, load_answer, load_request
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.recipe_file import Output
from tests.launch.fakes import STUDIES, fake_run

NOT_UTF8 = "caf\udce9"


def make(execution: Execution = INSPECT_ONLY, **given: Any) -> Job:
    run, output = fake_run(1), Output(save_weights="best", checkpoint_every="3 steps", checkpoint_seconds=0.5)
    return Job(run.run_id, run.settings(), "fake", STUDIES, "/store", 2, execution, output, **given)


@pytest.mark.parametrize(
    "job",
    [
        make(),
        make(execution=Execution("csr", 5, Path("/cache"), 2, 7)),
        make(execution=Execution(cohort="auto"), device="cuda:0", threads=4, own_output=False),
        make(provenance={"command": f"petlsparse {NOT_UTF8}", "git": None, "numbers": [1, 2.5, True]}),
    ],
)
def test_a_job_arrives_as_it_was_sent(job: Job) -> None:
    line = dump_jobs([job, make()])
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert load_request(line) == [job, make()]


def test_settings_that_are_not_utf8_arrive() -> None:
    job = make()
    job.settings["data"]["name"] = f"folder:{NOT_UTF8}"
    assert load_request(dump_jobs([job])) == [job]


def test_outcomes_arrive_nan_included() -> None:
    sent = {
        "a": Outcome("diverged", metrics={"loss": math.nan, "steps": 3.0, "best": None, "high": math.inf}, seconds=0.1),
        "b": Outcome("failed", f"no {NOT_UTF8}\nTraceback", transient=True),
    }
    got = load_answer(dump_answer(lambda: sent))
    assert math.isnan(got["a"].metrics["loss"] or 0)
    assert repr(got) == repr(sent)


def test_a_users_error_arrives_whole() -> None:
    error = UserError(Problem("unknown", "a.toml", NOT_UTF8, "near", ("one", "two"), absent=True), "and more")

    def fail() -> dict[str, Outcome]:
        raise error

    with pytest.raises(UserError) as caught:
        load_answer(dump_answer(fail))
    assert caught.value.problems == error.problems


def test_an_error_of_the_program_arrives_with_its_traceback_and_will_not_pass() -> None:
    def fail() -> dict[str, Outcome]:
        raise ZeroDivisionError("on purpose")

    with pytest.raises(WorkerDied, match="ZeroDivisionError: on purpose") as caught:
        load_answer(dump_answer(fail))
    assert not caught.value.transient
