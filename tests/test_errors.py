import pickle

import pytest

from petlsparse.errors import Problem, UserError, nearest_name, unknown_name
from petlsparse.registry import resolve

REGISTRY = {"ordered": "collections:OrderedDict", "absent": "no_such_module_anywhere:thing"}


def test_a_problem_shows_place_value_nearest_and_valid_names():
    problem = Problem("unknown name", "a.toml:3: run.data.name", '"digts"', "digits", ("digits", "cifar10"))
    assert str(problem).splitlines() == [
        "a.toml:3: run.data.name: unknown name",
        '  value: "digts"',
        "  did you mean digits?",
        "  valid: digits, cifar10",
    ]


def test_a_problem_without_details_is_its_message():
    assert str(Problem("the disk is full")) == "the disk is full"


def test_an_error_takes_text_and_problems_and_shows_them_all():
    error = UserError("first", Problem("second", "there"))
    assert error.problems == (Problem("first"), Problem("second", "there"))
    assert str(error) == "first\nthere: second"


def test_an_error_survives_the_way_out_of_a_worker_process():
    error = UserError(Problem("bad", "here", "1", "one", ("one", "two")), "worse")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert copy.problems == error.problems
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("magnitud", "magnitude"), ("MEST", "mest"), ("reciprocal_sensitivity", "reciprocal-sensitivity"), ("xyz", None)],
)
def test_the_nearest_name_forgives_case_underscores_and_typos(name, nearest):
    assert nearest_name(name, ["magnitude", "mest", "reciprocal-sensitivity"]) == nearest


def test_an_unknown_name_is_told_with_all_valid_ones():
    problem = unknown_name("network", "lenet", iter(["mlp", "lenet5"]), "run.network.name")
    assert problem == Problem('unknown network "lenet"', "run.network.name", None, "lenet5", ("mlp", "lenet5"))


def test_a_registry_imports_only_what_is_asked_for():
    from collections import OrderedDict

    assert resolve(REGISTRY, "ordered", "container") is OrderedDict  # "absent" was not imported


def test_a_registry_refuses_an_unknown_name():
    with pytest.raises(UserError, match='unknown container "orderd"') as caught:
        resolve(REGISTRY, "orderd", "container")
    assert caught.value.problems[0].nearest == "ordered"
    assert caught.value.problems[0].valid == ("ordered", "absent")
