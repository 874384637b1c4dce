"""Rules that leave runs out: their values mean what they mean elsewhere, and one that leaves nothing out is told."""

import pytest

from petlsparse.errors import UserError

ARMS = """
[grid]
"optimizer.lr" = [0.1, 1]
"training.duration" = ["1 epoch", "20 epochs"]
[[arms]]
method = { kind = "dense" }
[[arms]]
method = { kind = "dst", density = 0.1, criterion = "set", growth = "random" }
"""


def left(recipe):
    return len(recipe.runs)


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        ('"training.duration" = "1 epochs"', 4),  # "1 epoch"
        ('"training.duration" = "  20   epoch "', 4),
        ('"training.duration" = ["1 epochs", "20 epochs"]\n"method.kind" = "dense"', 4),
        ('"optimizer.lr" = 1.0', 4),
        ('"optimizer.lr" = [1, 0.1]\n"method.kind" = "dst"', 4),
        ('"method.density" = 1e-1', 4),
        ('"network.widths" = [300, 100]', 0),
        ('"seed" = 1\n"method.kind" = ["dense"]', 4),
    ],
)
def test_values_are_brought_into_the_form_that_settings_have(sparse, rule, runs):
    text = ARMS + f"[[exclude]]\n{rule}\n"
    sets = ["network.widths=[300, 100]"]
    if runs:
        assert left(sparse(text, sets=sets)) == runs
    else:
        with pytest.raises(UserError, match="every run is excluded"):
            sparse(text, sets=sets)


@pytest.mark.parametrize(
    ("rule", "where", "nearest"),
    [
        ('"method.criterion" = "magnitud"', 'exclude[0]."method.criterion"', "magnitude"),
        ('"method.criterion" = ["set", "snipp"]', 'exclude[0]."method.criterion"[1]', "snip"),
        ('"method.kind" = "densee"', 'exclude[0]."method.kind"', "dense"),
        ('"training.duration" = "1 epocs"', 'exclude[0]."training.duration"', None),
        ('"optimizer.lr" = "0.1"', 'exclude[0]."optimizer.lr"', None),
        ('seed = "one"', "exclude[0].seed", None),
    ],
)
def test_a_value_that_the_setting_cannot_have_is_a_problem_with_the_nearest_one(sparse, rule, where, nearest):
    with pytest.raises(UserError) as caught:
        sparse(ARMS + f"[[exclude]]\n{rule}\n")
    (problem,) = caught.value.problems
    assert problem.where.endswith(f": {where}")
    assert problem.nearest == nearest


def test_a_rule_that_excludes_nothing_is_a_problem_with_its_line(sparse):
    with pytest.raises(UserError) as caught:
        sparse(ARMS + '[[exclude]]\n"optimizer.lr" = 0.5\n[[exclude]]\n"optimizer.lr" = 1\n')
    (problem,) = caught.value.problems
    assert problem.message.startswith("excludes nothing")
    assert problem.where.endswith(": exclude[0]")


def test_an_arms_rule_that_excludes_nothing_in_that_arm_is_a_problem(sparse):
    arms = ARMS.replace('{ kind = "dense" }', '{ kind = "dense" }\nexclude = [{ "method.kind" = "dst" }]')
    with pytest.raises(UserError, match="excludes nothing"):
        sparse(arms)


def test_flags_and_heirs_may_leave_a_rule_idle(sparse, load):
    text = ARMS + '[[exclude]]\n"optimizer.lr" = 1\n'
    assert left(sparse(text, axes=["optimizer.lr=0.1,0.2"])) == 8
    heir = load('extends = "./recipe.toml"\n[grid]\n"optimizer.lr" = [0.1, 0.2]\n', name="heir")
    assert left(heir) == 8


def test_edges_are_a_set_in_rules_too(adapter):
    recipe = adapter("""
        [run.method]
        kind = "adapters"
        placement = "explicit"
        [grid]
        "method.placement.edges" = [[[5, 9], [3, 4]], [[1, 2]]]
        [[exclude]]
        "method.placement.edges" = [[5, 9], [3, 4]]
        """)
    assert [run.method.placement.edges for run in recipe.runs] == [((1, 2),)]
