"""Runs that are trained as one: which are handed over at once, and that none suffers from another."""

from __future__ import annotations

import re
import resource
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as futures_wait
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.cohorts.grouping import cohorts
from petlsparse.errors import UserError
from petlsparse.launch import dispatch as dispatch_module
from petlsparse.launch.dispatch import Dispatch
from petlsparse.launch.events import Event, Failed, Finished, Planned, Progressed, Retried, Separated, Started
from petlsparse.launch.in_process import InProcessLauncher
from petlsparse.launch.interruption import Interruption
from petlsparse.launch.job import Job, Outcome, Outcomes
from petlsparse.recipe.execution import INSPECT_ONLY
from petlsparse.recipe.recipe_file import Output
from petlsparse.recipe.schema import Run
from petlsparse.tracking.equality import differences
from petlsparse.tracking.progress import Heartbeat, Progress, read_heartbeat
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import Result, Trouble
from tests.launch.fakes import Executed, alike, fake_run, fake_runs

RUNS = [fake_run(seed) for seed in range(40)]
T = Trouble


def together(troubles: Sequence[Trouble], store: Path, **options: object) -> Executed:
    """A run into each trouble, all of them in one cohort if there is one worker."""
    return Executed(fake_runs(troubles), store, **{"workers": 1, "cohort_key": alike} | options)


@pytest.mark.parametrize(
    ("files", "largest"), [(1024, 500), (256, 128), (20, 10), (resource.RLIM_INFINITY, 500), (1, 1)]
)
def test_a_cohort_leaves_room_for_other_open_files(files: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, 4096))
    runs = fake_runs([T.NONE] * 600)
    for size in ("auto", 600):
        sizes = {len(part) for part in cohorts(runs, lambda _: 0, workers=1, size=size)}
        assert largest // 2 < max(sizes) <= largest


# -- who is handed over together -------------------------------------------------------------------------------------


@given(
    keys=st.lists(st.none() | st.integers(0, 2), max_size=len(RUNS)),
    workers=st.integers(1, 9),
    size=st.integers(1, 12) | st.just("auto"),
)
def test_every_run_is_in_one_cohort_of_its_kind(keys: list[int | None], workers: int, size: int) -> None:
    runs = RUNS[: len(keys)]
    key_of = {run.run_id: key for run, key in zip(runs, keys, strict=True)}
    parts = cohorts(runs, lambda run: key_of[run.run_id], workers=workers, size=size)
    assert sorted(run.seed for part in parts for run in part) == [run.seed for run in runs]
    for part in parts:
        assert len({key_of[run.run_id] for run in part}) == 1
        assert key_of[part[0].run_id] is not None or len(part) == 1
    for key in {*keys} - {None}:
        kind = [part for part in parts if key_of[part[0].run_id] == key]
        count = keys.count(key)
        assert [run for part in kind for run in part] == [run for run in runs if key_of[run.run_id] == key]
        assert max(map(len, kind)) <= min(-(-count // workers), size if isinstance(size, int) else count)
        assert len(kind) >= min(workers, count)  # no worker goes without
        assert max(map(len, kind)) - min(map(len, kind)) <= 1


def test_cohorts_are_dealt_out_evenly_in_as_few_rounds_as_their_size_allows() -> None:
    def sizes(runs: int, workers: int, size: int) -> list[int]:
        return [len(part) for part in cohorts(RUNS[:runs], lambda _: "alike", workers=workers, size=size)]

    assert sizes(10, 2, 500) == [5, 5]
    assert sizes(5, 4, 500) == [1, 1, 1, 2]
    assert sizes(10, 1, 4) == [3, 3, 4]
    assert sizes(10, 2, 4) == [2, 3, 2, 3]
    assert sizes(3, 1, 1) == [1, 1, 1]


def test_off_does_not_even_ask_for_keys() -> None:
    def key(run: Run) -> str:
        raise AssertionError

    assert cohorts(RUNS, key, workers=1, size="off") == [[run] for run in RUNS]


def test_a_cohort_of_none_is_a_user_error() -> None:
    with pytest.raises(UserError, match="at least 1"):
        cohorts(RUNS, lambda _: "alike", workers=1, size=0)


def test_the_costliest_cohort_starts_first_and_a_limit_takes_the_first_runs(tmp_path: Path) -> None:
    runs = [fake_run(seed) for seed in (1, 2, 3, 4, 5, 6)]
    kinds = {1: "a", 2: "b", 3: "b", 4: None, 5: "a"}
    executed = Executed(
        runs,
        tmp_path,
        workers=0,
        limit=5,
        cohort_key=lambda run, *_: kinds[run.seed],
        estimate=lambda run: 10 - run.seed,
    )
    # 2 and 3 cost 8 + 7, 1 and 5 cost 9 + 5, 4 costs 6
    assert executed.of(Planned) == [Planned(tuple(runs[seed - 1].run_id for seed in (2, 3, 1, 5, 4)), 0)]
    assert executed.statuses == ["done"] * 5 + ["pending"]


@pytest.mark.parametrize(
    ("flag", "default", "sizes"), [(None, None, [4]), (None, "off", []), ("auto", "off", [4]), (2, None, [2, 2])]
)
def test_the_command_decides_then_the_recipe(
    tmp_path: Path, flag: int | str | None, default: str | None, sizes: list[int]
) -> None:
    executed = together([T.NONE] * 4, tmp_path, cohort=flag, launch={"cohort": default})
    assert executed.statuses == ["done"] * 4
    logs = "".join(map(executed.log, executed.runs))
    assert [logs.count(f"{size} as one on cpu\n") for size in (1, 2, 3, 4)] == [sizes.count(n) for n in (1, 2, 3, 4)]


def test_what_was_begun_or_failed_before_is_executed_alone(tmp_path: Path) -> None:
    failed = together([T.RAISE], tmp_path)
    assert failed.statuses == ["failed"]
    (failed.store.run_dir(failed.runs[0].run_id) / "checkpoint.safetensors").unlink()
    (tmp_path / "runs" / fake_run(2).run_id).mkdir()
    stopped = tmp_path / "runs" / fake_run(2).run_id / "checkpoint.safetensors"
    stopped.write_text('{"step": 2, "value": 0.5, "history": [], "rows": []}')
    executed = together([T.RAISE, T.NONE, T.NONE, T.NONE], tmp_path)
    assert executed.statuses == ["failed", "done", "done", "done"]
    assert "from step 2\n" in executed.log(executed.runs[1])
    assert "2 as one on cpu\n" in executed.log(executed.runs[2])
    assert executed.of(Separated) == []


# -- how it goes -----------------------------------------------------------------------------------------------------


def test_results_are_those_of_runs_executed_alone(tmp_path: Path) -> None:
    troubles = [T.NONE, T.NONE, T.DIVERGE, T.NONE, T.NONE]
    as_one = together(troubles, tmp_path / "one")
    shared = together(troubles, tmp_path / "two", workers=2)
    here = together(troubles, tmp_path / "here", workers=0)
    alone = Executed(as_one.runs, tmp_path / "alone", workers=1)
    assert alone.statuses == ["done", "done", "diverged", "done", "done"]
    assert sum(alone.log(run).count("as one on") for run in alone.runs) == 0
    for executed in (as_one, shared, here):
        assert executed.statuses == alone.statuses
        assert executed.attempts() == [1] * 5
        assert differences(executed.store, alone.store) == []


def test_all_are_running_and_one_log_has_the_output(tmp_path: Path) -> None:
    executed = together([T.NONE] * 3, tmp_path)
    first, *others = executed.runs
    kinds = [type(event) for event in executed.events]
    assert [event.run_id for event in executed.of(Started)] == [run.run_id for run in executed.runs]
    assert {event.worker for event in executed.of(Started)} == {0}
    assert kinds.index(Finished) > max(i for i, kind in enumerate(kinds) if kind is Started)
    assert {event.run_ids for event in executed.of(Progressed)} <= {tuple(run.run_id for run in executed.runs)}
    assert "3 as one on cpu\n" in executed.log(first)
    for run in others:
        assert executed.log(run).count("--- attempt 1, ") == 1
        assert f"together with 2 other runs; what they print is in the log of {first.run_id}\n" in executed.log(run)
        assert "as one on" not in executed.log(run)


def test_of_a_cohort_trained_in_parts_only_the_part_in_training_gets_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_hand: list[Heartbeat | None] = []

    def in_parts(
        _: object,
        runs: object,
        folders: Sequence[Path],
        *,
        on_start: Callable[[Sequence[int]], None],
        progress: Callable[[int, Progress], None],
        done: Callable[[int, Result], None],
        **options: object,
    ) -> None:
        for part in ([0, 1], [2]):
            on_start(part)
            at_hand.append(read_heartbeat(folders[0] / "progress.json"))
            for index in part:
                progress(index, Progress(4, 8, 1))
                done(index, Result("done"))

    monkeypatch.setattr("fake_studies.Fake.execute", in_parts)
    executed = together([T.NONE] * 3, tmp_path, workers=0)
    one, other, last = (run.run_id for run in executed.runs)
    assert [beat and (beat.run_ids, beat.progress) for beat in at_hand] == [
        ((one, other), Progress(0, 0, 0)),
        ((last,), Progress(0, 0, 0)),
    ]
    assert executed.of(Progressed)[0].run_ids == (one, other)
    assert executed.statuses == ["done"] * 3


def test_finished_members_leave_no_working_files(tmp_path: Path) -> None:
    together([T.NONE, T.DIVERGE], tmp_path)
    assert sorted(path.name for path in tmp_path.glob("runs/*/*")) == sorted(
        2 * [".lock", "been-here", "log.txt", "record.json", "topology.parquet"]
    )


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_separates_those_without_a_result(tmp_path: Path, workers: int) -> None:
    executed = together([T.DIVERGE, T.NONE, T.RAISE, T.NONE], tmp_path, workers=workers)
    diverged, *left = executed.runs
    assert executed.statuses == ["diverged", "done", "failed", "done"]
    assert executed.attempts() == [1] * 4
    (separated,) = executed.of(Separated)
    assert separated.run_ids == tuple(run.run_id for run in left)
    assert separated.error.endswith("ZeroDivisionError: on purpose\n")
    started = [event.run_id for event in executed.of(Started)]
    assert started == [run.run_id for run in (diverged, *left, *left)]
    assert "Traceback" in executed.log(diverged)  # the first one's log is that of all
    for run in left:
        assert "alone from here; together with others: ZeroDivisionError: on purpose\n" in executed.log(run)
    assert len(executed.of(Failed)) == 1
    assert executed.of(Retried) == []
    if workers:  # memory and GPU of the process that failed may be in a bad state
        processes = re.findall("process ([0-9]+)", executed.log(left[0]))
        assert len(set(processes)) == 2


@pytest.mark.parametrize("retry", [0, 1])
def test_a_killed_worker_costs_its_members_neither_result_nor_attempt(tmp_path: Path, retry: int) -> None:
    """The third kills the worker; alone, it does not again. The fourth kills every worker."""
    executed = together([T.DIVERGE, T.NONE, T.KILLED_ONCE, T.KILLED], tmp_path, retry=retry)
    runs = [run.run_id for run in executed.runs]
    assert executed.statuses == ["diverged", "done", "done", "failed"]
    assert executed.attempts() == [1, 1, 1, 1 + retry]
    assert [separated.run_ids for separated in executed.of(Separated)] == [tuple(runs[1:])]
    assert executed.of(Separated)[0].error == "its worker was killed by SIGKILL: out of memory?"
    assert [event.run_id for event in executed.of(Started)] == [*runs, *runs[1:], *runs[3:] * retry]
    assert [event.run_id for event in executed.of(Retried)] == runs[3:] * retry
    assert [event.attempt for event in executed.of(Started)] == [1] * 7 + [2] * retry


@pytest.mark.parametrize("trouble", [T.OUT_OF_MEMORY_ONCE, T.EXIT_ZERO_ONCE])
def test_members_go_on_alone_from_where_they_were(tmp_path: Path, trouble: Trouble) -> None:
    executed = together([T.NONE, trouble, T.NONE], tmp_path, retry=0)
    assert executed.statuses == ["done"] * 3
    assert executed.attempts() == [1] * 3
    assert ["from step 4\n" in executed.log(run) for run in executed.runs] == [True, True, False]
    assert "from step 3\n" in executed.log(executed.runs[2])


def test_what_ends_without_a_result_after_an_interruption_is_left_alone(tmp_path: Path) -> None:
    interruption = Interruption(tmp_path / ".stop")

    class Interrupted(InProcessLauncher):
        def submit(self, jobs: Sequence[Job]) -> Future[Outcomes]:
            interruption.number = signal.SIGINT
            future: Future[Outcomes] = Future()
            future.set_result({job.run_id: Outcome("pending", "no time") for job in jobs})
            return future

    told: list[Event] = []
    launcher = Interrupted("cpu", lambda *_: None)
    dispatch = Dispatch(Store.create(tmp_path), launcher, 1, interruption, told.append)
    runs = fake_runs([T.NONE] * 2)
    dispatch.execute(
        [[Job(run.run_id, run.settings(), "", {}, str(tmp_path), 1, INSPECT_ONLY, Output()) for run in runs]]
    )
    assert [type(event) for event in told] == [Started, Started]
    assert dispatch.statuses == {}


def test_progress_is_told_while_jobs_are_executed_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs trained one after the other: nothing, the first at half, the same again, the second at half."""
    future: Future[Outcomes] = Future()
    runs = fake_runs([T.NONE] * 2)
    one, other = ids = [run.run_id for run in runs]
    half = Progress(4, 8, 1)
    beats = iter(
        [Heartbeat(1, Progress(0, 0, 0), (one,)), *[Heartbeat(1, half, (one,))] * 2, Heartbeat(1, half, (other,))]
    )
    polls = count()

    class Executing(InProcessLauncher):
        def submit(self, jobs: Sequence[Job]) -> Future[Outcomes]:
            return future

    def polled(running: Iterable[Future[Outcomes]], *_: object) -> Any:
        if next(polls) == 4:
            future.set_result({run_id: Outcome("done") for run_id in ids})
        return futures_wait(running, 0, FIRST_COMPLETED)

    monkeypatch.setattr(dispatch_module, "wait", polled)
    monkeypatch.setattr(dispatch_module, "read_heartbeat", lambda _: next(beats))
    told: list[Event] = []
    interruption = Interruption(tmp_path / ".stop")
    dispatch = Dispatch(Store.create(tmp_path), Executing("cpu", lambda *_: None), 1, interruption, told.append)
    dispatch.execute(
        [[Job(run.run_id, run.settings(), "", {}, str(tmp_path), 1, INSPECT_ONLY, Output()) for run in runs]]
    )
    assert [event for event in told if isinstance(event, Progressed)] == [
        Progressed((one,), half),
        Progressed((other,), half),
    ]


def test_a_study_that_cannot_train_together_trains_alone(tmp_path: Path) -> None:
    executed = together([T.NONE] * 2, tmp_path, studies={"dst-sweep": "fake_solo:STUDY"})
    assert executed.statuses == ["done"] * 2
    assert len(executed.of(Separated)) == 1


def test_a_folder_that_cannot_be_written_ends_the_command_with_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / fake_run(2).run_id).symlink_to(tmp_path / "unplugged")
    with pytest.raises(UserError, match="cannot write the results folder"):
        together([T.NONE] * 3, tmp_path)
