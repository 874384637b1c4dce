"""What runs a recipe means: arms, axes, excludes and seeds together."""

import pytest

from petlsparse.errors import Problem, UserError

ARMS = """
[[arms]]
method = { kind = "dense" }
[[arms]]
method = { kind = "static", density = 0.1 }
[[arms]]
method = { kind = "dst", density = 0.1 }
grid = { "method.criterion" = ["magnitude", "set"], "method.growth" = ["random", "gradient"] }
"""


def methods(recipe):
    return [
        (run.method.kind, getattr(run.method, "density", None), run.flat().get("method_criterion"))
        for run in recipe.runs
    ]


def test_arms_are_outermost_then_zips_then_the_grid_then_seeds(sparse):
    text = """
        [grid]
        "training.batch_size" = [32, 64]
        [[zip]]
        "optimizer.lr" = [1.0, 2.0]
        "optimizer.weight_decay" = [0.1, 0.2]
        [[arms]]
        method = { kind = "dense" }
        [[arms]]
        method = { kind = "static", density = 0.5 }
        """
    recipe = sparse(text, seeds="3,1")
    found = [
        (run.method.kind, run.optimizer.lr, run.optimizer.weight_decay, run.training.batch_size, run.seed)
        for run in recipe.runs
    ]
    assert found == [
        (kind, lr, decay, batch, seed)
        for kind in ("dense", "static")
        for lr, decay in ((1.0, 0.1), (2.0, 0.2))
        for batch in (32, 64)
        for seed in (3, 1)
    ]


def test_an_arm_has_axes_of_its_own(sparse):
    recipe = sparse(ARMS)
    assert len(recipe.runs) == 1 + 1 + 2 * 2
    assert recipe.varies == ("method.kind", "method.criterion", "method.growth")


def test_an_arms_axis_replaces_the_shared_axis_of_the_same_key(sparse):
    recipe = sparse("""
        [grid]
        "optimizer.lr" = [1.0, 2.0]
        [[arms]]
        method = { kind = "dense" }
        grid = { "optimizer.lr" = [3.0] }
        [[arms]]
        method = { kind = "static", density = 0.5 }
        """)
    assert [(run.method.kind, run.optimizer.lr) for run in recipe.runs] == [
        ("dense", 3.0),
        ("static", 1.0),
        ("static", 2.0),
    ]


def test_an_arms_setting_goes_over_that_of_all_runs_and_an_axis_over_both(sparse):
    shared = '[run.method]\nkind = "static"\ndensity = 0.1\n'
    arm = "[[arms]]\nmethod.density = 0.2\n"
    assert methods(sparse(shared + arm)) == [("static", 0.2, None)]
    axis = '[grid]\n"method.density" = [0.3]\n'
    assert methods(sparse(shared + axis + arm)) == [("static", 0.3, None)]


@pytest.mark.parametrize(
    "shared",
    ["[run.method]\ndensity = 0.3\n", '[grid]\n"method.density" = [0.3]\n', "[grid]\nmethod.density = [0.3]\n"],
)
def test_a_shared_setting_goes_to_the_arms_whose_kind_has_it(sparse, shared):
    arms = ARMS.replace(", density = 0.1", "")
    assert set(methods(sparse(shared + arms))) == {
        ("dense", None, None),
        ("static", 0.3, None),
        ("dst", 0.3, "magnitude"),
        ("dst", 0.3, "set"),
    }


def test_runs_that_turn_out_equal_are_one(sparse):
    recipe = sparse("""
        [grid]
        "method.density" = [0.1, 0.2]
        [[arms]]
        method = { kind = "dense" }
        [[arms]]
        method = { kind = "static" }
        [[arms]]
        method = { kind = "static", distribution = "erk" }
        """)
    assert methods(recipe) == [("dense", None, None), ("static", 0.1, None), ("static", 0.2, None)]


def test_the_kind_itself_can_be_an_axis(sparse):
    text = '[run.method]\nkind = "dense"\n[grid]\n"optimizer.name" = ["sgd", "adam"]\n'
    recipe = sparse(text, sets=["optimizer.momentum=0.8"])
    sgd, adam = recipe.runs
    assert sgd.optimizer.momentum == 0.8
    assert adam.optimizer.name == "adam"
    assert adam.optimizer.lr == sgd.optimizer.lr == 0.1


def test_excluded_runs_are_left_out(sparse):
    recipe = sparse(ARMS + '[[exclude]]\n"method.criterion" = "set"\n"method.growth" = ["gradient"]\n')
    found = {(run.method.criterion.name, run.method.growth.name) for run in recipe.runs if run.method.kind == "dst"}
    assert found == {("magnitude", "random"), ("magnitude", "gradient"), ("set", "random")}
    assert len(recipe.runs) == 5


def test_a_rule_sees_defaults_and_seeds(sparse):
    recipe = sparse(ARMS + '[[exclude]]\n"method.distribution" = "erk"\nseed = [2, 3]\n', seeds="3")
    assert [run.seed for run in recipe.runs if run.method.kind == "dense"] == [1, 2, 3]
    assert {run.seed for run in recipe.runs if run.method.kind != "dense"} == {1}


def test_an_arms_rule_concerns_that_arm_alone(sparse):
    recipe = sparse("""
        [grid]
        "optimizer.lr" = [1.0, 2.0]
        [[arms]]
        method = { kind = "dense" }
        exclude = [{ "optimizer.lr" = 1.0 }]
        [[arms]]
        method = { kind = "static", density = 0.5 }
        """)
    found = [(run.method.kind, run.optimizer.lr) for run in recipe.runs]
    assert found == [("dense", 2.0), ("static", 1.0), ("static", 2.0)]


def test_a_rule_saves_combinations_that_would_not_be_valid(adapter):
    recipe = adapter("""
        [run.method]
        kind = "adapters"
        [grid]
        "method.placement" = ["all-parallel", "random"]
        "method.placement.seed" = [0, 1]
        [[zip]]
        "method.placement.count" = [4]
        [[exclude]]
        "method.placement" = "all-parallel"
        """)
    placements = [run.method.placement for run in recipe.runs]
    assert [(placement.name, placement.seed) for placement in placements] == [("random", 0), ("random", 1)]


def test_seeds_are_a_number_or_a_list(sparse):
    method = '[run.method]\nkind = "dense"\n'
    assert [run.seed for run in sparse(method, seeds="3").runs] == [1, 2, 3]
    assert [run.seed for run in sparse(method, seeds="5,0").runs] == [5, 0]
    assert [run.seed for run in sparse(method, seeds="[4]").runs] == [4]
    assert [run.seed for run in sparse(method).runs] == [1]


def test_the_seed_is_not_among_what_varies(sparse):
    assert sparse('[run.method]\nkind = "dense"\n', seeds="3").varies == ()


def test_what_is_not_semantic_does_not_touch_the_runs(sparse):
    method = '[run.method]\nkind = "dense"\n'
    plain = sparse(method)
    other = sparse(method + '[output]\nsave_weights = "best"\ncheckpoint_every = "10 steps"\n[launch]\nworkers = 2\n')
    assert plain.runs == other.runs
    assert (plain.output.save_weights, plain.launch.workers) == ("none", None)
    assert (other.output.save_weights, other.launch.workers) == ("best", 2)
    assert [str(recipe.output.checkpoint_every) for recipe in (plain, other)] == ["1 epoch", "10 steps"]


def test_a_problem_is_located_where_its_setting_stands_and_a_files_keeps_its_path(sparse):
    recipe = sparse('[run.method]\nkind = "dense"\n')
    (run,) = recipe.runs
    located = recipe.locate(Problem("is odd", "training.duration"), run.run_id)
    assert located.where.endswith(": run.training.duration")
    for where in ("data.old/train", "weights.pt", "digits: the test part", ""):
        assert recipe.locate(Problem("is odd", where), run.run_id).where == where


def test_a_count_is_asked_for_where_a_placement_needs_one(adapter):
    with pytest.raises(UserError) as caught:
        adapter('[run.method]\nkind = "adapters"\nplacement = "random"\n')
    (problem,) = caught.value.problems
    assert "method.placement.count" in problem.where
    assert "required" in problem.message
