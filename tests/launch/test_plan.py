"""What is executed, in which order, and that neither order nor other runs change a result."""

import subprocess
import sys
from pathlib import Path

import pytest

from petlsparse.errors import UserError
from petlsparse.launch.events import Finished, Planned, Progressed, Started, Waiting
from petlsparse.launch.in_process import InProcessLauncher
from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.equality import differences
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import Trouble
from tests.launch.fakes import Executed, fake_run


def test_one_killed_worker_of_twenty_runs_costs_one_attempt(tmp_path: Path) -> None:
    runs = [fake_run(seed, Trouble.KILLED_ONCE if seed == 7 else Trouble.NONE) for seed in range(20)]
    executed = Executed(runs, tmp_path / "store", retry=0)
    assert executed.statuses == ["done"] * 7 + ["failed"] + ["done"] * 12
    assert executed.attempts() == [1] * 20
    assert [executed.log(run).count("--- attempt") for run in runs] == [1] * 20
    assert Executed(runs, tmp_path / "store").statuses == ["done"] * 20


def test_results_do_not_depend_on_workers_or_order(tmp_path: Path) -> None:
    runs = [fake_run(seed, trouble) for trouble in (Trouble.NONE, Trouble.DIVERGE) for seed in range(3)]
    here = Executed(runs, tmp_path / "here", workers=0)
    Executed(runs, tmp_path / "one", workers=1)
    Executed(runs, tmp_path / "two", workers=2, estimate=lambda run: run.seed)
    Executed(runs[::-1], tmp_path / "reversed", workers=2)
    assert Executed(runs, tmp_path / "reversed").of(Started) == []
    assert here.statuses == ["done"] * 3 + ["diverged"] * 3
    for other in ("one", "two", "reversed"):
        assert differences(tmp_path / "here", tmp_path / other) == []


def test_failures_in_this_process_are_recorded_like_any_other(tmp_path: Path) -> None:
    runs = [fake_run(1, Trouble.RAISE), fake_run(1, Trouble.OUT_OF_MEMORY_ONCE), fake_run(1)]
    executed = Executed(runs, tmp_path / "store", workers=0)
    assert executed.statuses == ["failed", "done", "done"]
    assert executed.attempts() == [1, 2, 1]
    assert "ZeroDivisionError: on purpose" in executed.log(runs[0])
    assert {event.run_ids for event in executed.of(Progressed)} == {(run.run_id,) for run in runs}


def test_the_costliest_runs_start_first(tmp_path: Path) -> None:
    runs = [fake_run(seed) for seed in (2, 4, 1, 3)]
    executed = Executed(runs, tmp_path / "store", workers=0, estimate=lambda run: run.seed)
    expected = [runs[i].run_id for i in (1, 3, 0, 2)]
    assert [event.run_id for event in executed.of(Started)] == expected
    assert executed.of(Planned) == [Planned(tuple(expected), 0)]
    assert list(read_table(executed.store, "runs")["run_id"]) == [run.run_id for run in runs]


def test_a_limit_takes_the_first_runs_that_are_left(tmp_path: Path) -> None:
    runs = [fake_run(seed) for seed in range(4)]
    first = Executed(runs, tmp_path / "store", workers=0, limit=1)
    assert first.statuses == ["done", "pending", "pending", "pending"]
    second = Executed(runs, tmp_path / "store", workers=0, limit=2)
    assert second.statuses == ["done", "done", "done", "pending"]
    assert second.of(Planned) == [Planned((runs[1].run_id, runs[2].run_id), 1)]


def test_an_amended_recipe_adds_runs_and_keeps_the_others(tmp_path: Path) -> None:
    Executed([fake_run(1), fake_run(2)], tmp_path / "store", workers=0)
    amended = Executed([fake_run(3), fake_run(1)], tmp_path / "store", workers=0)
    assert [event.run_id for event in amended.of(Finished)] == [fake_run(3).run_id]
    expected = [fake_run(seed).run_id for seed in (1, 2, 3)]  # in order of first appearance
    assert list(read_table(amended.store, "runs")["run_id"]) == expected


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    """Killed right after the record of the first run was written, and while a table was."""
    runs = [fake_run(1), fake_run(2, Trouble.RAISE)]
    store = Executed(runs, tmp_path / "store", workers=0).store
    finished, failed = (store.run_dir(run.run_id) for run in runs)
    names = ("checkpoint.safetensors", "progress.json", ".record.json.1-1.tmp")
    leftovers = [finished / name for name in names] + [store.path / ".runs.parquet.1-1.tmp"]
    for path in leftovers:
        path.touch()
    store.table("runs").unlink()  # who is killed writes no tables afterwards
    assert (failed / "checkpoint.safetensors").exists()
    Executed(runs, store.path, workers=0, limit=0)
    assert [path for path in leftovers if path.exists()] == []
    assert (failed / "checkpoint.safetensors").exists()  # its run is to do


def test_a_damaged_record_costs_its_own_run_only(tmp_path: Path) -> None:
    runs = [fake_run(seed) for seed in range(3)]
    before = Executed(runs, tmp_path / "store", workers=0)
    record = before.store.run_dir(runs[1].run_id) / "record.json"
    record.write_bytes(record.read_bytes()[:100])
    with pytest.warns(UserWarning, match="set aside"):
        again = Executed(runs, tmp_path / "store", workers=0)
    assert [event.run_id for event in again.of(Started)] == [runs[1].run_id]
    Executed(runs, tmp_path / "other", workers=0)
    assert differences(tmp_path / "store", tmp_path / "other") == []


def test_a_held_store_is_reported_and_left_alone(tmp_path: Path) -> None:
    told: list[object] = []
    with Store.create(tmp_path / "store").lock(), pytest.raises(UserError, match="in use by process"):
        Executed([fake_run(1)], tmp_path / "store", workers=0, lock_timeout=0, on_event=told.append)
    assert [type(event) for event in told] == [Waiting]
    assert not (tmp_path / "store" / "plan.json").exists()


def test_a_launcher_is_closed_once_whether_or_not_the_store_is_free(tmp_path: Path) -> None:
    class Counted(InProcessLauncher):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    held, free = (Counted("cpu", lambda *_: None) for _ in range(2))
    with Store.create(tmp_path / "held").lock(), pytest.raises(UserError, match="in use by process"):
        Executed([fake_run(1)], tmp_path / "held", launcher=held, lock_timeout=0)
    assert held.closed == 1
    Executed([fake_run(1)], tmp_path / "free", launcher=free)
    assert free.closed == 1


def test_a_folder_that_a_worker_cannot_write_ends_the_command_with_a_user_error(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.run_dir(fake_run(1).run_id).symlink_to(tmp_path / "unplugged")
    with pytest.raises(UserError, match="cannot write the results folder"):
        Executed([fake_run(1)], store.path, workers=1)


def test_launching_loads_neither_torch_nor_pandas() -> None:
    script = "import sys, petlsparse.launch.plan; print([m for m in ('torch', 'pandas', 'timm') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"
