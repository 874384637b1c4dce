"""Lengths that cannot be meant are told before training, with the setting that says so."""

from __future__ import annotations

from typing import Any

import pytest

from petlsparse.errors import UserError
from petlsparse.studies import check_runs
from petlsparse.studies.lengths import length_problems
from tests.studies.settings import SPARSE, make

DST = SPARSE["method"]


@pytest.mark.parametrize(
    ("tables", "where"),
    [
        # 800 examples in batches of 64 are 13 steps an epoch.
        ({"schedule": {"name": "cosine", "warmup": "4 epochs"}}, "schedule.warmup"),
        ({"schedule": {"name": "constant", "warmup": "40 steps"}}, "schedule.warmup"),
        ({"schedule": {"name": "constant", "warmup": "39 steps"}}, None),
        ({"method": DST | {"update_period": 800}}, "method.update_period"),
        ({"method": DST | {"update_period": 39}}, "method.update_period"),  # not on the last step
        ({"method": DST | {"update_period": 39, "update_last_step": True}}, None),
        ({"method": DST | {"update_period": 38}}, None),
        ({"method": DST | {"update_period": 30, "update_stop": 0.75}}, "method.update_period"),
        ({"method": DST | {"update_period": 29, "update_stop": 0.75}}, None),
        ({"method": {"kind": "static", "density": 0.2}}, None),
        ({"training": SPARSE["training"] | {"duration": "4 steps"}}, "method.update_period"),
    ],
)
def test_a_warm_up_beyond_the_end_and_updates_that_never_come_are_problems(
    tables: dict[str, Any], where: str | None
) -> None:
    run = make(SPARSE, **tables)
    assert [problem.where for problem in length_problems(run, 800)] == ([where] if where else [])


def test_they_are_told_before_training() -> None:
    run = make(SPARSE, method=DST | {"update_period": 800})
    found = check_runs({run.run_id: run})
    with pytest.raises(UserError, match="static sparse training"):
        found.require([run.run_id])
