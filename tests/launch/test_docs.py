"""The launcher that docs/launchers.md adds works as it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from petlsparse.launch.plan import execute_plan
from petlsparse.tracking.equality import differences
from petlsparse.tracking.store import Store
from tests.launch.fake_studies import Trouble
from tests.launch.fakes import FAKE, Executed, alike, fake_recipe, fake_runs

PAGE = Path(__file__).parents[2] / "docs" / "launchers.md"


def added(folder: Path, capacity: int) -> Any:
    """A launcher of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["FileLauncher"](folder, capacity)


def test_a_launcher_that_is_added_executes_runs_alone_and_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where its processes find the fake studies
    runs = fake_runs([Trouble.NONE, Trouble.DIVERGE, Trouble.KILLED_ONCE, Trouble.RAISE])
    store = Store.create(tmp_path / "added")
    summary = execute_plan(fake_recipe(runs), store, launcher=added(tmp_path, 2), **FAKE | {"cohort_key": alike})
    assert [summary.statuses[run.run_id] for run in runs] == ["done", "diverged", "done", "failed"]
    local = Executed(runs, tmp_path / "local", cohort_key=alike)
    assert differences(store, local.store) == []
