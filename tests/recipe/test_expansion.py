from math import prod

from hypothesis import given
from hypothesis import strategies as st

from petlsparse.recipe.expansion import combinations, matches, number_of_combinations, varying

KEYS = [f"table.key{number}" for number in range(8)]


@st.composite
def axes(draw):
    """A grid and groups of coupled lists, with distinct keys and distinct values per axis."""
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=5))
    grid, zips = {}, []
    for key in keys:
        if draw(st.booleans()):
            grid[key] = draw(st.lists(st.integers(), unique=True, min_size=1, max_size=4))
        elif zips and draw(st.booleans()):
            length = len(next(iter(zips[-1].values())))
            zips[-1][key] = draw(st.lists(st.integers(), unique=True, min_size=length, max_size=length))
        else:
            zips.append({key: draw(st.lists(st.integers(), unique=True, min_size=1, max_size=4))})
    return zips, grid


def length(group):
    return len(next(iter(group.values())))


@given(axes())
def test_the_count_is_the_product_of_the_lengths(axes):
    zips, grid = axes
    expected = prod(map(length, zips)) * prod(map(len, grid.values()))
    assert len(list(combinations(zips, grid))) == expected
    assert number_of_combinations(zips, grid) == expected


@given(axes())
def test_no_combination_comes_twice(axes):
    found = [tuple(sorted(choice.items())) for choice in combinations(*axes)]
    assert len(set(found)) == len(found)


@given(axes())
def test_every_combination_gives_every_key_one_of_its_values(axes):
    zips, grid = axes
    for choice in combinations(zips, grid):
        assert choice.keys() == {*grid, *(key for group in zips for key in group)}
        assert all(choice[key] in values for key, values in grid.items())
        assert all(tuple(choice[key] for key in group) in zip(*group.values(), strict=True) for group in zips)


@given(axes())
def test_the_order_is_that_of_nested_loops_with_zips_outermost(axes):
    zips, grid = axes
    ranks = [
        [next(iter(group.values())).index(choice[next(iter(group))]) for group in zips]
        + [values.index(choice[key]) for key, values in grid.items()]
        for choice in combinations(zips, grid)
    ]
    assert ranks == sorted(ranks)


def test_an_order_worked_out_by_hand():
    found = combinations([{"z": [1, 2], "y": "ab"}], {"g": [10, 20], "h": [0]})
    assert [tuple(choice[key] for key in "zygh") for choice in found] == [
        (1, "a", 10, 0),
        (1, "a", 20, 0),
        (2, "b", 10, 0),
        (2, "b", 20, 0),
    ]


def test_nothing_varying_is_one_combination():
    assert list(combinations([], {})) == [{}]
    assert list(combinations([{}], {})) == [{}]


def test_a_rule_matches_when_all_its_keys_do():
    settings = {"a": 1, "b": "x"}
    assert matches(settings, {"a": 1})
    assert matches(settings, {"a": [1, 2], "b": "x"})
    assert not matches(settings, {"a": 1, "b": "y"})
    assert not matches(settings, {"a": [2, 3]})
    assert not matches(settings, {"c": None})
    assert not matches(settings, {})


def test_a_rule_matches_a_setting_that_is_a_list():
    assert matches({"widths": [1, 2]}, {"widths": [1, 2]})
    assert matches({"widths": [1, 2]}, {"widths": [[1, 2], [3]]})
    assert not matches({"widths": [1, 2]}, {"widths": [1]})


def test_what_varies_has_more_than_one_value():
    assert varying([{"a": 1, "b": [1]}, {"a": 2, "b": [1]}]) == {"a"}


def test_a_key_that_only_some_have_does_not_vary_by_that():
    assert varying([{"kind": "dense"}, {"kind": "static", "density": 0.1}]) == {"kind"}
