import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.recipe.sizes import parse_size, readable


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4 GiB", 4 * 2**30),
        ("500MB", 500_000_000),
        ("1.5 KiB", 1536),
        ("0.1 MB", 100_000),
        (" 2 tb ", 2 * 10**12),
        ("7 B", 7),
        ("off", 0),
        ("OFF", 0),
        ("0", 0),
        (0, 0),
    ],
)
def test_a_size_is_read_from_text(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "bad", ["4", 4, "4 GiBs", "4 iB", "-1 GB", "1e3 MB", ".5 GB", "GiB", "", "٣ GB", "on", None, True, False, 0.0]
)
def test_what_is_no_size_is_refused(bad):
    with pytest.raises(ValueError, match='"4 GiB" or "500 MB", or "off"'):
        parse_size(bad)


def test_a_size_is_shown_in_the_unit_that_suits_it():
    sizes = [0, 1023, 1024, 3 * 2**20 // 2, 3_328_599_654, 5 * 2**40]
    assert [readable(size) for size in sizes] == ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "3.1 GiB", "5.0 TiB"]


@given(st.integers(1, 10**15))
def test_what_is_shown_is_read_back_to_within_its_rounding(size):
    assert parse_size(readable(size)) == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize(
    ("text", "expected"), [("", None), ('[launch]\ncache_memory = "2 GiB"', 2**31), ("[launch]\ncache_memory = 0", 0)]
)
def test_a_recipe_may_bound_the_cache(adapter, text, expected):
    assert adapter('[run.method]\nkind = "linear-probe"\n' + text).launch.cache_memory == expected


def test_a_recipes_mistaken_size_is_told_with_its_place(adapter, problems):
    (problem,) = problems(adapter, '[run.method]\nkind = "linear-probe"\n[launch]\ncache_memory = "2 gigs"')
    assert "launch.cache_memory" in problem.where
    assert '"4 GiB"' in problem.message


def test_the_command_line_may_bound_the_cache_in_the_recipe(adapter):
    recipe = adapter('[run.method]\nkind = "linear-probe"', sets=["launch.cache_memory=1 MiB"])
    assert recipe.launch.cache_memory == 2**20
