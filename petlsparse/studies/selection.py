"""Which weights of a run are the best: what its settings cannot mean."""

from __future__ import annotations

from petlsparse.errors import Problem
from petlsparse.recipe.optimization import SELECT_BY
from petlsparse.recipe.schema import Run


def selection_problems(run: Run) -> list[Problem]:
    """A metric to select by where nothing is selected: two runs that differ in it alone would be one."""
    if run.data.train_on == "train" or run.training.select_by == SELECT_BY:
        return []
    message = (
        f'nothing is selected: data.train_on = "{run.data.train_on}" leaves no validation, so that the last weights '
        "are tested; leave this out"
    )
    return [Problem(message, "training.select_by", run.training.select_by)]
