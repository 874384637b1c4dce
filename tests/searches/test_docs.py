"""The search that docs/searches.md adds works as it says."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from petlsparse.recipe import load_recipe
from petlsparse.searches.search import Batch, Result, drive

PAGE = Path(__file__).parents[2] / "docs" / "searches.md"


def test_the_search_on_the_page_doubles_for_as_long_as_it_helps() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    asked: list[float] = []

    def execute(batch: Batch) -> Mapping[str, Result]:
        (run,) = batch.runs
        asked.append(run.optimizer.lr)
        return {run.run_id: Result("done", {"val_accuracy_best": -((run.optimizer.lr - 0.4) ** 2)})}

    drive(names["doubling"](load_recipe("dst-smoke")), execute)
    assert asked == [0.1, 0.2, 0.4, 0.8]


def test_the_recipe_on_the_page_is_read(tmp_path: Path) -> None:
    (table,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "page.toml").write_text(f'extends = "dst-smoke"\n{table}')
    search = load_recipe(tmp_path / "page.toml").search
    assert search is not None
    assert (search.name, search.repeats) == ("best-of", 5)
