"""A study whose runs train alone only."""

from collections.abc import Sequence
from typing import Any

import fake_studies

from petlsparse.recipe.schema import SparseRun


def execute(runs: Sequence[SparseRun], **options: Any) -> None:
    if len(runs) > 1:
        raise ValueError("they cannot be trained as one")
    fake_studies.execute(runs, **options)
