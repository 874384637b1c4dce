"""Learning rates against values worked out by hand."""

from __future__ import annotations

import pytest

from petlsparse.training.schedules import constant, cosine, step, with_warmup


def test_step_schedule_divides_after_half_and_three_quarters() -> None:
    factor = with_warmup(step(milestones=(0.5, 0.75), factor=0.1), total_steps=8, warmup_steps=0)
    assert [factor(s) for s in range(1, 9)] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_step_schedule_follows_the_studys_epochs() -> None:
    """100 epochs of 352 steps: x0.1 after epochs 50 and 75 (arXiv 2306.12230, released code)."""
    factor = with_warmup(step(milestones=(0.5, 0.75), factor=0.1), total_steps=35_200, warmup_steps=0)
    assert factor(50 * 352) == 1
    assert factor(50 * 352 + 1) == pytest.approx(0.1)
    assert factor(75 * 352) == pytest.approx(0.1)
    assert factor(75 * 352 + 1) == pytest.approx(0.01)


def test_cosine_starts_at_one_and_passes_its_middle() -> None:
    factor = with_warmup(cosine(final_fraction=0.2), total_steps=100, warmup_steps=0)
    assert factor(1) == 1
    assert factor(51) == pytest.approx(0.6)
    assert 0.2 < factor(100) < 0.201


def test_warmup_is_linear_from_above_zero_and_hands_over_at_one() -> None:
    factor = with_warmup(cosine(final_fraction=0.0), total_steps=12, warmup_steps=4)
    assert [factor(s) for s in range(1, 6)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factor(9) == pytest.approx(0.5)  # half of the eight remaining steps


def test_warmup_longer_than_training_never_divides_by_zero() -> None:
    factor = with_warmup(constant(), total_steps=3, warmup_steps=10)
    assert [factor(s) for s in (1, 2, 3)] == [0.1, 0.2, 0.3]
