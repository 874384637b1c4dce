from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _workers_find_the_fake_studies() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield
