"""A study whose runs train alone only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fake_studies

from petlsparse.recipe.schema import SparseRun


class Solo(fake_studies.Fake):
    def execute(self, runs: Sequence[SparseRun], folders: Sequence[Path], **options: Any) -> None:
        if len(runs) > 1:
            raise ValueError("they cannot be trained as one")
        super().execute(runs, folders, **options)


STUDY = Solo()
