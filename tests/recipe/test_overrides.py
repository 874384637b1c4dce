from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.errors import UserError
from petlsparse.recipe.overrides import parse_value, parse_values
from tests.recipe.conftest import SPARSE

ARMS = """
[output]
save_weights = "last"
[grid]
"optimizer.lr" = [1.0, 2.0]
"training.batch_size" = [32, 64]
[[arms]]
method = { kind = "dense" }
[[arms]]
method = { kind = "static", density = 0.1 }
[[arms]]
method = { kind = "dst", density = 0.2, criterion = "set" }
grid = { "method.growth" = ["random", "gradient"] }
"""
DENSE = '[run.method]\nkind = "dense"\n'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5", 5),
        ("5.0", 5.0),
        ("true", True),
        ("no", "no"),
        ("cosine", "cosine"),
        ("20 epochs", "20 epochs"),
        ('"5"', "5"),
        ("[1, 2]", [1, 2]),
        ('{ kind = "dense" }', {"kind": "dense"}),
        ("folder:/data/my pets", "folder:/data/my pets"),
        ("2024-01-31", date(2024, 1, 31)),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_values_are_toml_and_bare_words_strings(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ["[1, 2", '"open', "{ a = }"])
def test_what_begins_as_toml_must_be_toml(text):
    with pytest.raises(ValueError, match=r"line 1|end of document"):
        parse_value(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2", [1, 2]),
        ("1 epoch, 2 epochs", ["1 epoch", "2 epochs"]),
        ("[1,2],[3]", [[1, 2], [3]]),
        ('"a,b",c', ["a,b", "c"]),
        ("'x]',[']',']']", ["x]", ["]", "]"]]),
        ("sgd", ["sgd"]),
    ],
)
def test_commas_inside_brackets_and_quotes_separate_nothing(text, values):
    assert parse_values(text) == values


@given(st.lists(st.integers(-(2**60), 2**60) | st.booleans() | st.text("abc ,[]", max_size=5), min_size=1))
def test_values_that_are_written_as_toml_are_read_back(values):
    written = ",".join(f'"{value}"' if isinstance(value, str) else str(value).lower() for value in values)
    assert parse_values(written) == values


def test_set_replaces_an_axis(sparse):
    recipe = sparse(ARMS, sets=["optimizer.lr=5"])
    assert {run.optimizer.lr for run in recipe.runs} == {5.0}
    assert recipe.varies == ("method.kind", "method.density", "method.growth", "training.batch_size")


def test_set_replaces_the_value_in_every_arm_whose_kind_has_it(sparse):
    recipe = sparse(ARMS, sets=["method.density=0.7"])
    assert {(run.method.kind, getattr(run.method, "density", None)) for run in recipe.runs} == {
        ("dense", None),
        ("static", 0.7),
        ("dst", 0.7),
    }


def test_set_replaces_an_axis_of_one_arm(sparse):
    recipe = sparse(ARMS, sets=["method.growth=random"])
    assert {run.method.growth.name for run in recipe.runs if run.method.kind == "dst"} == {"random"}


def test_set_takes_a_key_out_of_a_zip_and_leaves_the_rest(sparse):
    zipped = DENSE + '[[zip]]\n"optimizer.lr" = [1.0, 2.0]\n"training.batch_size" = [32, 64]\n'
    recipe = sparse(zipped, sets=["optimizer.lr=5"])
    assert [(run.optimizer.lr, run.training.batch_size) for run in recipe.runs] == [(5.0, 32), (5.0, 64)]


def test_set_of_a_kind_leaves_the_settings_of_the_former_kind_behind(sparse):
    (run,) = sparse(DENSE, sets=["optimizer.momentum=0.5"]).runs
    assert (run.optimizer.name, run.optimizer.momentum) == ("sgd", 0.5)
    text = DENSE + "[run.schedule]\nname = 'step'\nfactor = 0.5\nwarmup = '3 steps'\n"
    (run,) = sparse(text, sets=["schedule.final_fraction=0.1", "schedule.name=cosine"]).runs
    assert (run.schedule.name, run.schedule.final_fraction, str(run.schedule.warmup)) == ("cosine", 0.1, "3 steps")


def test_set_of_a_table_replaces_the_whole_table(sparse):
    (run,) = sparse(DENSE, sets=['optimizer={ name = "adam", lr = 3 }']).runs
    assert (run.optimizer.name, run.optimizer.lr) == ("adam", 3.0)


def test_the_later_of_two_wins(sparse):
    (run,) = sparse(DENSE, sets=["training.batch_size=1", "training.batch_size=2"]).runs
    assert run.training.batch_size == 2


def test_set_reaches_seeds_output_and_launch(sparse):
    recipe = sparse(DENSE, sets=["seeds=[4, 5]", "output.save_weights=both", "launch.workers=3"])
    assert [run.seed for run in recipe.runs] == [4, 5]
    assert (recipe.output.save_weights, recipe.launch.workers) == ("both", 3)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("3", [1, 2, 3]),
        ("7", [1, 2, 3, 4, 5, 6, 7]),
        ("4-6", [4, 5, 6]),
        ("9-9", [9]),
        ("1-3,7, 9-10", [1, 2, 3, 7, 9, 10]),
    ],
)
def test_seeds_are_a_number_a_list_or_ranges(sparse, given, meant):
    assert [run.seed for run in sparse(DENSE, seeds=given).runs] == meant


@pytest.mark.parametrize("given", ["5-1", "1-2-3", "a-b", "1-", "1-3,2", "1-100001", f"0-{2**63}", "1.5"])
def test_seeds_that_are_none_are_refused(sparse, given):
    with pytest.raises(UserError, match="seeds"):
        sparse(DENSE, seeds=given)


def test_seeds_go_over_set_and_file(sparse):
    recipe = sparse(DENSE, sets=["seeds=3"], seeds="7,8")
    assert [run.seed for run in recipe.runs] == [7, 8]


def test_axis_replaces_an_axis_in_its_place(sparse):
    recipe = sparse(DENSE + ARMS[: ARMS.index("[[arms]]")], axes=["optimizer.lr=7,8,9"])
    assert [(run.optimizer.lr, run.training.batch_size) for run in recipe.runs] == [
        (lr, batch) for lr in (7.0, 8.0, 9.0) for batch in (32, 64)
    ]


def test_axis_adds_an_axis_over_what_arms_say(sparse):
    recipe = sparse(ARMS, sets=["optimizer.lr=1", "training.batch_size=32"], axes=["method.density=0.5,0.6"])
    found = [(run.method.kind, getattr(run.method, "density", None)) for run in recipe.runs]
    assert found == [
        ("dense", None),
        ("static", 0.5),
        ("static", 0.6),
        ("dst", 0.5),
        ("dst", 0.5),
        ("dst", 0.6),
        ("dst", 0.6),
    ]


def test_the_resolved_table_is_the_recipe_after_flags(sparse):
    recipe = sparse(ARMS, sets=["optimizer.lr=5"], axes=["training.batch_size=8,16"], seeds="2")
    assert recipe.resolved["run"]["optimizer"] == {"name": "sgd", "lr": 5}
    assert recipe.resolved["grid"] == {"training.batch_size": [8, 16]}
    assert recipe.resolved["seeds"] == 2
    assert "optimizer.lr" in recipe.text  # the file as written


WIDE = "[run.method]\nkind = 'dense'\n[run.network]\nname = 'mlp'\nwidths = [16]\n"


def wide(load, text: str = "", **flags):
    return load(SPARSE.replace('network = { name = "mlp" }\n', "") + WIDE + text, **flags)


@pytest.mark.parametrize("key", ["network", "network.name"])
def test_a_name_alone_chooses_the_kind_of_its_table_and_leaves_what_that_kind_has(load, key):
    (run,) = wide(load, sets=[f"{key}=mlp"]).runs
    assert run.network.arguments()["widths"] == (16,)
    (run,) = wide(load, sets=[f"{key}=lenet5"]).runs
    assert run.network.name == "lenet5"


@pytest.mark.parametrize("key", ["network", "network.name"])
def test_an_axis_of_names_alone_is_one_of_kinds(load, key):
    for runs in (
        wide(load, axes=[f"{key}=lenet5,mlp"]).runs,
        wide(load, f'[grid]\n"{key}" = ["lenet5", "mlp"]\n').runs,
        wide(load, f'[grid]\n"{key}" = ["lenet5", "mlp", "small-conv"]\n[[exclude]]\n{key} = "small-conv"\n').runs,
    ):
        assert [run.network.arguments().get("widths") for run in runs] == [None, (16,)]


def test_a_wrong_name_of_an_axis_is_told_where_the_axis_is(load, problems):
    (problem,) = problems(lambda text, **flags: wide(load, **flags), "", axes=["network=lenet,mlp"])
    assert (problem.where, problem.nearest) == ("--axis network=lenet,mlp", "lenet5")
