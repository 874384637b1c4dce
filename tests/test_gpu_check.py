"""The accelerator check: parts that hang, fail or leave nothing cost nothing of the others. The CPU stands in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.gpu_check import (
    Part,
    accuracies,
    check,
    counts,
    differences,
    gpu_tests,
    importable,
    parts,
    summary,
)

HERE = dict(os.environ)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def number(name: str, seconds: float, *code: str) -> Part:
    """A part whose answer is the JSON in its log."""
    return Part(
        name, seconds, [python(each) for each in code], lambda out: json.loads((out / f"{name}.log").read_text())
    )


def test_a_part_that_hangs_or_fails_costs_nothing_of_the_others(tmp_path: Path) -> None:
    asked = [
        number("first", 60, "print(1)"),
        number("hangs", 1.5, "print(2, flush=True); import time; time.sleep(600)"),
        number("fails", 60, "import sys; sys.exit(3)", "print('never')"),
        number("silent", 60, "pass"),
        number("last", 60, "print(5)"),
    ]
    found = check(asked, tmp_path, seconds=60, environment=HERE)
    assert {name: (part["status"], part["answer"]) for name, part in found.items()} == {
        "first": ("done", 1),
        "hangs": ("late", 2),  # what it had said by then
        "fails": ("failed", None),
        "silent": ("failed", None),
        "last": ("done", 5),
    }
    assert json.loads((tmp_path / "check.json").read_text()) == found
    assert (tmp_path / "summary.txt").read_text().startswith("first done")


def test_a_late_part_leaves_no_process_behind(tmp_path: Path) -> None:
    asleep = "import time; time.sleep(600)"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {asleep!r}]).pid, flush=True)"
    found = check([number("parent", 5, f"{code}; {asleep}")], tmp_path, seconds=60, environment=HERE)
    child = found["parent"]["answer"]
    for _ in range(100):  # it has been killed; its end may take a moment
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child of a late part is alive")


def test_results_of_earlier_parts_are_on_disk_while_a_later_one_is_at_work(tmp_path: Path) -> None:
    code = f"import pathlib; print(len(pathlib.Path({str(tmp_path / 'check.json')!r}).read_text()) > 2 and 1)"
    found = check([number("first", 60, "print(1)"), number("second", 60, code)], tmp_path, seconds=60, environment=HERE)
    assert found["second"]["answer"] == 1


def test_a_part_for_which_no_time_is_left_is_not_begun(tmp_path: Path) -> None:
    found = check([number("one", 60, "print(1)")], tmp_path, seconds=0.5, environment=HERE)
    assert found["one"]["status"] == "no time"
    assert not (tmp_path / "one.log").exists()


def test_all_parts_fit_into_eight_minutes(tmp_path: Path) -> None:
    asked = parts(tmp_path, "cuda", quick=False)
    assert sum(part.seconds for part in asked) <= 8 * 60
    assert [part.name for part in asked][:2] == ["environment", "tests"]


def test_the_package_and_the_command_line_are_imported_without_an_installation(tmp_path: Path) -> None:
    code = "import petlsparse, petlsparse._cli; print(petlsparse.__file__)"
    environment = importable(tmp_path / "site", None)
    importable(tmp_path / "site", None)  # again, over the first
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "site" / "petlsparse" / "__init__.py"), done.stderr


@pytest.mark.slow  # collects them all in a process of its own
def test_the_files_with_gpu_tests_need_no_package_that_only_other_tests_need() -> None:
    files = gpu_tests()
    assert "test_gpu.py" in {Path(file).name for file in files}
    code = "import sys; sys.modules['duckdb'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    command = [*python(code), "-q", "--collect-only", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout


def test_what_pytest_left_is_counted(tmp_path: Path) -> None:
    (tmp_path / "t.xml").write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>'
        '<testcase name="c"><skipped/></testcase><testcase name="d"><error/></testcase></testsuite></testsuites>'
    )
    assert counts(tmp_path / "t.xml") == {"passed": 1, "skipped": 1, "failed": ["b", "d"]}


def row(method: str, accuracy: float | None, seconds: float) -> dict[str, Any]:
    return {"method": method, "test_accuracy_mean": accuracy, "wall_seconds": seconds}


def test_accuracies_are_read_from_the_end_of_a_log_and_compared_in_points(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(
        "[1, 2] progress\n" + json.dumps([row("dense", 84.0, 2.0), row("static", 80.0, 4.0)], indent=2) + "\n"
    )
    cpu = accuracies(log)
    assert cpu == {"dense": {"accuracy": 84.0, "seconds": 2.0}, "static": {"accuracy": 80.0, "seconds": 4.0}}
    device = {"dense": {"accuracy": 84.5, "seconds": 1.0}, "static": {"accuracy": 78.5, "seconds": 1.0}}
    assert differences(device, cpu) == (
        "device less cpu -0.50 points on average, most -1.50 (static); 1 s and 3 s a run"
    )


def test_a_summary_has_twenty_lines_at_most() -> None:
    table = {"title": "a step", "seconds": {"one": 1e-3}, "notes": ["runs in an hour: one 9"]}
    found = {
        "tests": {"status": "done", "seconds": 3.0, "answer": {"passed": 1, "skipped": 0, "failed": ["bad"]}},
        "cohorts": {"status": "done", "seconds": 1.0, "answer": [table] * 30},
        "vit": {"status": "late", "seconds": 70.0, "answer": None},
    }
    lines = summary(found)
    assert lines[:3] == [
        "tests done 3 s, cohorts done 1 s, vit late 70 s",
        "tests: 1 passed, 1 failed, 0 skipped, bad",
        "a step: one 1 ms",
    ]
    assert len(lines) == 20
