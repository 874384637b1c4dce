import subprocess
import sys

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import header, load_recipe, parse_run, shipped_recipes
from petlsparse.recipe.shipped import find_recipe


def test_names_are_the_stems_of_all_shipped_files():
    recipes = shipped_recipes()
    files = [file for folder in {path.parent for path in recipes.values()} for file in folder.glob("*.toml")]
    assert sorted(recipes) == sorted(file.stem for file in files)  # equal lengths: no stem comes twice
    assert {path.parent.name for path in recipes.values()} == {"adapter-search", "dst-sweep"}


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_says_what_to_expect(name):
    recipe = load_recipe(name)
    assert recipe.study == recipe.path.parent.name
    assert recipe.description
    assert recipe.runs
    assert len({run.run_id for run in recipe.runs}) == len(recipe.runs)
    about = header(recipe.text)
    assert all(f"\n{word} " in about for word in ("source", "command", "time", "result"))
    assert f"petlsparse {recipe.study} {name}" in about


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_run_is_read_back_from_its_settings(name):
    for run in load_recipe(name).runs:
        assert parse_run(run.settings()) == run
        assert parse_run(run.settings()).run_id == run.run_id


def test_the_header_is_the_comment_before_the_first_other_line():
    assert header("# one\n#\n#   two \n\n# three\n") == "one\n\n  two"
    assert header("a = 1\n# no header") == ""


def test_a_path_goes_before_a_name(tmp_path, monkeypatch):
    name = next(iter(shipped_recipes()))
    (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name).samefile(tmp_path / name)
    assert find_recipe(f"./{name}").samefile(tmp_path / name)


@pytest.mark.parametrize("wrong", ["{}x", "{}x.toml", "no/such/folder/{}x.toml"])
def test_an_unknown_recipe_is_told_with_the_nearest_one(wrong):
    name = next(iter(shipped_recipes()))
    with pytest.raises(UserError) as caught:
        load_recipe(wrong.format(name))
    (problem,) = caught.value.problems
    assert problem.nearest == name
    assert set(problem.valid) == set(shipped_recipes())


def test_loading_a_recipe_imports_no_heavy_library():
    code = (
        "import sys; from petlsparse.recipe import load_recipe, shipped_recipes;"
        "[load_recipe(name) for name in shipped_recipes()];"
        "print(*{'torch', 'timm', 'pandas', 'numpy', 'typer', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
