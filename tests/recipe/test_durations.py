import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.recipe import Duration


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [("20 epochs", 20, "epochs"), ("1 epoch", 1, "epochs"), ("500 steps", 500, "steps"), (" 1  steps ", 1, "steps")],
)
def test_a_duration_is_read_from_text(text, count, unit):
    assert Duration.parse(text) == Duration(count, unit)


@pytest.mark.parametrize("bad", ["20", "epochs", "-1 epochs", "1.5 epochs", "3 weeks", "٣ epochs", "", 20, None, True])
def test_what_is_no_duration_is_refused(bad):
    with pytest.raises(ValueError, match="such as"):
        Duration.parse(bad)


def test_epochs_become_steps_and_steps_stay():
    assert Duration.parse("3 epochs").steps(7) == 21
    assert Duration.parse("3 steps").steps(7) == 3


def test_the_canonical_form_is_grammatical():
    assert [str(Duration.parse(text)) for text in ("1 epochs", "1 step", "2 step", "0 epoch")] == [
        "1 epoch",
        "1 step",
        "2 steps",
        "0 epochs",
    ]


@given(st.integers(0, 10**9), st.sampled_from(["epochs", "steps"]))
def test_the_canonical_form_is_read_back(count, unit):
    assert Duration.parse(str(Duration(count, unit))) == Duration(count, unit)


def test_a_count_that_nobody_can_mean_is_refused():
    assert Duration.parse("9" * 15 + " steps").count == 10**15 - 1
    with pytest.raises(ValueError, match="at most 15 digits"):
        Duration.parse("1" + "0" * 15 + " steps")
    with pytest.raises(ValueError, match="at most 15 digits"):
        Duration.parse("9" * 5000 + " epochs")
