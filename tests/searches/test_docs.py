"""The recipe that docs/searches.md shows is one."""

from pathlib import Path

from petlsparse.recipe import load_recipe
from tests.pages import REPOSITORY, blocks


def test_the_recipe_on_the_page_is_read(tmp_path: Path) -> None:
    ((language, table),) = blocks((REPOSITORY / "docs" / "searches.md").read_text())
    assert language == "toml"
    (tmp_path / "page.toml").write_text(f'extends = "dst-smoke"\n{table}')
    assert load_recipe(tmp_path / "page.toml").search.model_dump() == {
        "name": "best-of",
        "candidates": None,
        "repeats": 5,
        "train_on": "train",
        "seed": 0,
    }
