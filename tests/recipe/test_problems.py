"""Every mistake in a recipe is one clear problem, and all of them come at once."""

import pytest

from petlsparse.errors import UserError
from petlsparse.recipe import load_recipe

DENSE = '[run.method]\nkind = "dense"\n'  # lines 7 and 8 of the recipe
DST = '[run.method]\nkind = "dst"\ndensity = 0.1\ngrowth = "random"\n'


@pytest.mark.parametrize(
    ("text", "place", "message", "nearest"),
    [
        (DENSE + "density = 0.1\n", "9: run.method.density", "unknown key", None),
        (DST + 'criterian = "set"\ncriterion = "set"\n', "11: run.method.criterian", "unknown key", "criterion"),
        (DST + 'criterion = "magnitud"\n', "11: run.method.criterion", "unknown name", "magnitude"),
        (DST.replace("0.1", "-0.1") + 'criterion = "set"', "9: run.method.density", "greater than 0", None),
        (DST, "7: run.method.criterion", "is required", None),
        ('[run.method]\nkind = "dts"\n', "8: run.method.kind", "unknown value", "dst"),
        ("[run.method]\n", "7: run.method", "is required", None),
        ("[run.method]\nkind = []\n", "8: run.method.kind", "unknown value", None),
        (DENSE + "[run.optimiser]\nlr = 1\n", "10: run.optimiser.lr", 'unknown key "optimiser"', "optimizer"),
        (DENSE + "[run.backbone]\nname = 'x'\n", "10: run.backbone.name", 'unknown key "backbone"', None),
        (DENSE + "[run.schedule]\nname = 'cosin'\n", "10: run.schedule.name", "unknown value", "cosine"),
        (DENSE + "[grid]\nmethod.densty = [1]\n[[arms]]\nmethod.kind='static'\nmethod.density=1",
         '10: grid."method.densty"', 'unknown key "densty"', "density"),
        (DENSE + "[grid]\noptimizer.lr = [0.1, 0]\n", '10: grid."optimizer.lr"[1]', "greater than 0", None),
        (DENSE + "[grid]\noptimizer.lr = []\n", '10: grid."optimizer.lr"', "at least one value", None),
        (DENSE + "[grid]\noptimizer.lr = 0.1\n", '10: grid."optimizer.lr"', "should be a list", None),
        (DENSE + "[grid]\nmethod = [{kind = 'dense'}]\n", "10: grid.method", "[[arms]]", None),
        (DENSE + "[[zip]]\noptimizer.lr = [1, 2]\ntraining.batch_size = [1]\n", "9: zip[0]",
         "optimizer.lr has 2, training.batch_size has 1", None),
        (DENSE + "[grid]\noptimizer.lr=[1]\n[[zip]]\noptimizer.lr = [1]\n", "zip", "not optimizer.lr again", None),
        (DENSE + "[grid]\nseed = [1]\n", "10: grid.seed", "give `seeds`", None),
        (DENSE + "[run]\nx = 1\n", "9: is not valid TOML", "run", None),
        (DENSE + "[[exclude]]\nmethod.kid = 'dense'\n", '10: exclude[0]."method.kid"', "unknown key", "method.kind"),
        (DENSE + "[[exclude]]\nmethod.kind = 'dense'\n", "9: exclude[0]", "every run is excluded", None),
        ("[[arms]]\nmethod = { kind = 'dense' }\n[[arms]]\nmethod = { kind = 'static' }\n",
         "10: arms[1].method.density", "is required", None),
        ("[[arms]]\nmethod = { kind = 'static', density = 0.1, criterion = 'set' }\n",
         "8: arms[0].method.criterion", "unknown key", None),
        ("[[arms]]\nmethd = { kind = 'dense' }\nmethod = { kind = 'dense' }\n",
         "8: arms[0].methd.kind", 'unknown key "methd"', "method"),
        (DENSE + "[grids]\nx = [1]\n", "9: grids", "unknown key", "grid"),
        (DENSE + "[output]\nsave_weights = 'lst'\n", "10: output.save_weights", "unknown value", "last"),
        (DENSE + "[output]\nkeep = 'last'\n", "10: output.keep", "unknown key", "output.save_weights"),
        (DENSE + "[launch]\nretry = -1\n", "10: launch.retry", "greater than or equal to 0", None),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem_with_line_and_key_path(sparse, problems, text, place, message, nearest):
    (problem,) = problems(sparse, text)
    assert place in f"{problem.where}: {problem.message}"
    assert message in problem.message
    assert problem.nearest == nearest


@pytest.mark.parametrize(
    ("flags", "where", "message"),
    [
        ({"sets": ["optim.lr=1"]}, "--set optim.lr=1", 'unknown key "optim"'),
        ({"sets": ["optimizer.lr"]}, "--set", "should read key=value"),
        ({"sets": ["optimizer.lr="]}, "--set", "should read key=value"),
        ({"sets": ["=1"]}, "--set", "should read key=value"),
        ({"sets": ["optimizer..lr=1"]}, "--set", "should read key=value"),
        ({"sets": ["optimizer.lr=[1"]}, "--set optimizer.lr", "is not valid TOML"),
        ({"sets": ["optimizer.lr=-1"]}, "--set optimizer.lr=-1", "greater than 0"),
        ({"sets": ["optimizer.lr=fast"]}, "--set optimizer.lr=fast", "should be a number"),
        ({"sets": ["data=digits"]}, "--set data=digits", "should be a table"),
        ({"sets": ["method.density=0.5"]}, "--set method.density=0.5", 'unknown key "density"'),
        ({"sets": ["seed=3"]}, "--set seed=3", "give `seeds`"),
        ({"sets": ["study=dst-sweep"]}, "--set study=dst-sweep", "give `study`"),
        ({"sets": ["output.save_weights=all"]}, "--set output.save_weights=all", "unknown value"),
        ({"sets": ["launch.workers=0"]}, "--set launch.workers=0", "greater than or equal to 1"),
        ({"axes": ["optimizer.lr"]}, "--axis", "should read key=value1,value2"),
        ({"axes": ["optimizer.lr=1,0"]}, "--axis optimizer.lr=1,0", "greater than 0"),
        ({"axes": ["optimizer.lr=[1,2"]}, "--axis optimizer.lr", "is not valid TOML"),
        ({"axes": ["method.rank=1,2"]}, "--axis method.rank=1,2", 'unknown key "rank"'),
        ({"sets": ["optimizer.lr=1"], "axes": ["optimizer.lr=2"]}, "--axis optimizer.lr=2", "given by --set too"),
        ({"seeds": "0"}, "--seeds 0", "at least 1"),
        ({"seeds": "-3"}, "--seeds -3", "at least 1"),
        ({"seeds": "1,1"}, "--seeds 1,1", "every seed once"),
        ({"seeds": "1,-1"}, "--seeds 1,-1", "no negative"),
        ({"seeds": "many"}, "--seeds many", "number of seeds"),
        ({"seeds": "true"}, "--seeds true", "number of seeds"),
        ({"seeds": "[]"}, "--seeds []", "at least one seed"),
        ({"seeds": "[1"}, "--seeds", "is not valid TOML"),
        ({"study": "adapter-search"}, "recipe.toml", 'belongs to study "dst-sweep", not to "adapter-search"'),
    ],
)
def test_a_mistaken_flag_is_one_problem_that_names_the_flag(sparse, problems, flags, where, message):
    (problem,) = problems(sparse, DENSE, **flags)
    assert problem.where.endswith(where)
    assert message in problem.message


def test_all_problems_come_at_once(sparse, problems):
    text = """
        [run.method]
        kind = "dst"
        density = 2
        growth = "randm"
        [output]
        save_weights = "all"
        [grid]
        method.criterion = []
        training.batch_size = [16, "32"]
        [[zip]]
        optimizer.lr = [1, 2]
        data.name = ["digits"]
        [[exclude]]
        data.nam = "digits"
        [colour]
        """
    found = problems(sparse, text, sets=["x"], axes=["network.depth=1,2"], seeds="0", study="adapter-search")
    places = [problem.where.rpartition(": ")[2] for problem in found if "belongs to" not in problem.message]
    assert sorted(places) == sorted(
        [
            "--set",
            "--axis network.depth=1,2",
            "--seeds 0",
            "run.method.density",
            "run.method.growth",
            "output.save_weights",
            'grid."method.criterion"',
            'grid."training.batch_size"[1]',
            "zip[0]",
            'exclude[0]."data.nam"',
            "colour",
        ]
    )
    assert len(found) == len(places) + 1  # the study


def test_the_message_shows_value_nearest_and_all_valid_names(sparse, problems):
    (problem,) = problems(sparse, DST + 'criterion = "magnitud"\n')
    assert str(problem).splitlines()[1:] == [
        '  value: "magnitud"',
        "  did you mean magnitude?",
        "  valid: magnitude, ema-magnitude, set, mest, snip, reciprocal-sensitivity, sensitivity, random",
    ]


def test_a_mistake_in_all_runs_is_told_once(sparse, problems):
    text = DENSE + '[grid]\noptimizer.lr = [1, 2, 3]\ntraining.batch_size = [8, 16]\n[[zip]]\ndata.name = ["digts"]\n'
    (problem,) = problems(sparse, text, seeds="5")
    assert problem.where.endswith('zip[0]."data.name"[0]')


def test_a_grid_too_large_to_be_meant_is_refused_before_it_is_expanded(sparse, problems):
    axis = ", ".join(map(str, range(1, 201)))
    text = DENSE + f"[grid]\ntraining.batch_size = [{axis}]\noptimizer.lr = [{axis}]\ndata.image_size = [{axis}]\n"
    (problem,) = problems(sparse, text)
    assert "expands to 8,000,000 runs" in problem.message
    (problem,) = problems(sparse, DENSE, seeds="1000000000000")
    assert "at most 100,000 seeds" in problem.message


def test_a_study_is_required_and_checked(load, problems):
    (problem,) = problems(load, "seeds = 1\n")
    assert (problem.message, problem.where.endswith("recipe.toml: study")) == ("is required", True)
    (problem,) = problems(load, 'study = "dst-swep"\n')
    assert (problem.nearest, problem.valid) == ("dst-sweep", ("dst-sweep", "adapter-search"))


@pytest.mark.parametrize("broken", ["run = 3", "arms = [3]", "arms = 3", "[arms]\nmethod = 1"])
def test_a_recipe_of_the_wrong_shape_gives_one_problem_and_no_guesses(load, problems, broken):
    (problem,) = problems(load, f'study = "dst-sweep"\n{broken}\n')
    assert ":2: " in problem.where
    assert problem.message in ("should be a table", "should be a list")


@pytest.mark.parametrize(
    "broken", ["grid = 3", "zip = 3", "[zip]\nx = [1]", "exclude = [3]", "extends = 3", "seeds = 1.5"]
)
def test_a_wrong_type_at_the_top_is_one_problem(write, broken):
    top, table = (broken, "") if "[" not in broken[:1] else ("", broken)
    text = f"{top}\n" + 'study = "dst-sweep"\n' + (
        "run.data.name = 'digits'\nrun.network.name = 'mlp'\nrun.method.kind = 'dense'\n"
        "run.optimizer = { name = 'sgd', lr = 1 }\nrun.training.duration = '1 epoch'\n"
    ) + table  # fmt: skip
    with pytest.raises(UserError) as caught:
        load_recipe(write(text))
    assert len(caught.value.problems) == 1


def test_broken_toml_is_told_with_its_line(load, problems):
    (problem,) = problems(load, 'study = "dst-sweep"\nseeds = = 3\n')
    assert problem.where.endswith("recipe.toml:2")
    (problem,) = problems(load, 'study = "dst-sweep"\nseeds = [1,\n')
    assert "is not valid TOML" in problem.message


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load_recipe(tmp_path / "binary.toml")
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(tmp_path / "folder.toml")


def test_a_value_whose_axis_is_unusable_is_not_called_missing(sparse, problems):
    text = "[run.method]\nkind = 'static'\n[grid]\nmethod.density = []\n"
    (problem,) = problems(sparse, text)
    assert "at least one value" in problem.message


def test_a_key_of_an_older_recipe_is_told_by_its_new_name_in_its_own_table_only(sparse, problems):
    (problem,) = problems(sparse, DENSE, sets=["method.state=dense"])
    assert problem.nearest == "method.optimizer_state"
    (problem,) = problems(sparse, DENSE, sets=["optimizer.state=1"])
    assert problem.nearest is None
