import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import load_recipe, shipped_recipes

PARENT = """\
study = "dst-sweep"
description = "the parent"
seeds = 2
[run]
data = { name = "digits" }
network = { name = "mlp", widths = [8, 4] }
optimizer = { name = "sgd", lr = 0.1, momentum = 0.5 }
training = { duration = "2 epochs" }
[grid]
"training.batch_size" = [32, 64]
[[arms]]
method = { kind = "dense" }
[[arms]]
method = { kind = "static", density = 0.5 }
"""


def test_tables_merge_and_lists_are_replaced(write):
    write(PARENT, "parent")
    child = write("""
        extends = "parent.toml"
        [run.network]
        widths = [16]
        [grid]
        training.batch_size = [128]
        optimizer.lr = [1.0, 2.0]
        [[arms]]
        method = { kind = "dense" }
        """)
    recipe = load_recipe(child)
    assert [(run.training.batch_size, run.optimizer.lr, run.seed) for run in recipe.runs] == [
        (128, lr, seed) for lr in (1.0, 2.0) for seed in (1, 2)
    ]
    assert {(run.data.name, run.network.widths, run.method.kind) for run in recipe.runs} == {("digits", (16,), "dense")}
    assert (recipe.name, recipe.path, recipe.study, recipe.description) == ("recipe", child, "dst-sweep", "the parent")
    assert recipe.text == child.read_text()
    assert "extends" not in recipe.resolved


def test_another_optimizer_leaves_the_settings_of_the_parents_behind(write):
    write(PARENT, "parent")
    recipe = load_recipe(write('extends = "parent.toml"\n[run.optimizer]\nname = "adam"\nbeta1 = 0.5\n'))
    assert {(run.optimizer.name, run.optimizer.lr, run.optimizer.beta1) for run in recipe.runs} == {("adam", 0.1, 0.5)}


def test_a_path_is_relative_to_the_file_that_extends(write, monkeypatch, tmp_path):
    write(PARENT, "family/parent")
    child = write('extends = "../family/parent.toml"', "others/child")
    monkeypatch.chdir(tmp_path / "family")
    assert len(load_recipe(child).runs) == 8
    write('extends = "parent.toml"', "others/child")
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(child)


def test_a_shipped_recipe_can_be_extended_by_name_even_under_its_own_name(write):
    name = next(iter(shipped_recipes()))
    recipe = load_recipe(write(f'extends = "{name}"\nseeds = [99]', name))
    assert {run.seed for run in recipe.runs} == {99}
    assert recipe.runs[0].study == load_recipe(name).study


def test_a_recipe_is_found_by_name_in_the_folders_of_search(write, tmp_path):
    write(PARENT, "mine/deep/parent")
    assert len(load_recipe("parent", folders=[tmp_path / "mine"]).runs) == 8
    child = write('extends = "parent"\nseeds = 1')
    assert len(load_recipe(child, folders=[tmp_path / "mine"]).runs) == 4


def test_a_grandparent_lies_lowest(write):
    write(PARENT, "grandparent")
    write('extends = "grandparent.toml"\ndescription = "second"\nseeds = [7]', "parent")
    recipe = load_recipe(write('extends = "parent.toml"\nseeds = [8]'))
    assert recipe.description == "second"
    assert {run.seed for run in recipe.runs} == {8}


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_is_refused_and_shown(write, length):
    for at in range(length):
        last = write(f'extends = "circle{(at + 1) % length}.toml"', f"circle{at}")
    with pytest.raises(UserError, match="in a circle") as caught:
        load_recipe(last)
    assert all(f"circle{at}.toml" in str(caught.value) for at in range(length))


def test_an_unknown_parent_is_told_with_file_line_and_nearest_name(write):
    name = next(iter(shipped_recipes()))
    child = write(f'\nextends = "{name}x"')
    with pytest.raises(UserError) as caught:
        load_recipe(child)
    (problem,) = caught.value.problems
    assert problem.where == f"{child}:2: extends"
    assert problem.nearest == name
    assert problem.valid == tuple(shipped_recipes())


def test_a_parent_of_the_other_study_is_refused(write):
    write(PARENT, "parent")
    with pytest.raises(UserError, match=r'extends .*parent\.toml of study "dst-sweep"'):
        load_recipe(write('study = "adapter-search"\nextends = "parent.toml"'))


def test_a_problem_is_placed_in_the_file_that_wrote_it(write):
    parent = write(PARENT.replace("lr = 0.1", "lr = -1"), "parent")
    child = write('extends = "parent.toml"\n\n[run.data]\nimage_size = 0')
    with pytest.raises(UserError) as caught:
        load_recipe(child)
    assert {problem.where for problem in caught.value.problems} == {
        f"{parent}:7: run.optimizer.lr",
        f"{child}:4: run.data.image_size",
    }
